"""What a usage policy says to people: its disclosure, its purposes and what nobody may do. Edge: reads one file.

Serving reads and checks the whole section, keys of callers included. Whoever only tells people about it needs no key.
"""

from typing import Any

import yaml

from pegel.conf.loading import read_text
from pegel.errors import SettingsError
from pegel.schemas.usage_policy import ForbiddenUse, Risk, UsagePolicy


def read_usage_statement(path: str) -> UsagePolicy:
    """The policy without callers and content rules; empty if the file has no section ``usage``.

    Args:
        path: a YAML file, or the name of one that ships with Pegel.

    Raises:
        SettingsError: if the file is missing or no YAML, or the section is not one.
    """
    try:
        content = yaml.safe_load(read_text(path))
        usage: dict[str, Any] = (content or {}).get("usage") or {}
        return UsagePolicy(
            disclosure=str(usage.get("disclosure", "")),
            purposes={
                str(name): Risk[str((purpose or {}).get("risk", "low")).upper()]
                for name, purpose in (usage.get("purposes") or {}).items()
            },
            forbidden_uses=tuple(
                ForbiddenUse(str(use["name"]), str(use["says"])) for use in usage.get("forbidden_uses") or ()
            ),
        )
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        msg = f"the section usage of the policy {path} cannot be read: {error}; see conf/policy.yml for its form"
        raise SettingsError(msg) from error
