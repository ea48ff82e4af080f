"""The settings as a page for people. Pure: ``docs/generate.py`` writes it."""

import json
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pegel.conf.secret_ref import SecretRef
from pegel.conf.settings import Settings

_HEAD = """# The settings

Made by `make docs` from `conf/settings.py`; change it there.

Later wins over earlier: defaults, the file of `--config`, the environment (`PEGEL__STORAGE__ROOT=…` sets
`storage.root`), `--set storage.root=…`. A key that is not here is refused, and the nearest one is named. A secret is
never a setting: settings say where it lies, as `{env: NAME}` or `{file: PATH}`.
"""


def settings_page() -> str:
    """Every setting with its type and default, as one page of Markdown."""
    return _HEAD + "".join(_section(name, field) for name, field in Settings.model_fields.items())


def _section(name: str, field: FieldInfo) -> str:
    kind = field.annotation
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return f"\n## `{name}`\n\nMore Spark configuration by its own names, e.g. `spark.driver.memory: 2g`.\n"
    rows = "".join(f"| `{key}` | {_cell(of)} | {_cell(default)} |\n" for key, of, default in _settings(name, kind))
    meaning = " ".join((kind.__doc__ or "").split()).replace("``", "`")
    return f"\n## `{name}`\n\n{meaning}\n\n| setting | type | default |\n|---|---|---|\n{rows}"


def _settings(prefix: str, section: type[BaseModel]) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    for name, field in section.model_fields.items():
        key, kind = f"{prefix}.{name}", field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not SecretRef:
            found += _settings(key, kind)
        else:
            found.append((key, _type(field), _default(field.get_default(call_default_factory=True))))
    return found


def _type(field: FieldInfo) -> str:
    kind = field.annotation
    name = kind.__name__ if isinstance(kind, type) and not getattr(kind, "__args__", ()) else str(kind)
    short = name.replace("typing.", "").replace(f"{SecretRef.__module__}.", "").replace(SecretRef.__name__, "secret")
    bounds = " and ".join(_bound(rule) for rule in field.metadata if _bound(rule))
    return f"{short}, {bounds}" if bounds else short


def _bound(rule: Any) -> str:
    signs = (("gt", "> "), ("ge", "≥ "), ("lt", "< "), ("le", "≤ "))
    return " and ".join(f"{sign}{getattr(rule, name)}" for name, sign in signs if hasattr(rule, name))


def _default(value: Any) -> str:
    if isinstance(value, SecretRef):
        return f"`{{env: {value.env}}}`" if value.env else f"`{{file: {value.file}}}`"
    return "none" if value is None else f"`{json.dumps(value)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
