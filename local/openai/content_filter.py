"""The content filter: a few words of each category with their severities. Pure.

Below ``medium`` a word is annotated and let through, as in the service's default configuration.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

SEVERITIES = ("safe", "low", "medium", "high")
CATEGORIES = ("hate", "self_harm", "sexual", "violence")
BLOCKED_FROM = "medium"

_WORDS: Mapping[str, tuple[str, str]] = {
    "massacre": ("violence", "high"),
    "slaughter": ("violence", "medium"),
    "brawl": ("violence", "low"),
    "lynch": ("hate", "high"),
    "bigot": ("hate", "low"),
    "suicide": ("self_harm", "medium"),
    "pornography": ("sexual", "medium"),
}
_JAILBREAK = re.compile(r"ignore (?:all |your )*(?:previous |prior )?instructions", re.IGNORECASE)
_WORD = re.compile(r"[a-z]+")

Results = dict[str, dict[str, Any]]


def _severities(text: str) -> tuple[str, ...]:
    found = dict.fromkeys(CATEGORIES, 0)
    for word in set(_WORD.findall(text.lower())) & _WORDS.keys():
        category, severity = _WORDS[word]
        found[category] = max(found[category], SEVERITIES.index(severity))
    return tuple(SEVERITIES[found[category]] for category in CATEGORIES)


def annotate(text: str, *, prompt: bool) -> Results:
    """What the filters say of a text.

    Args:
        text: a message of the prompt, or the answer.
        prompt: whether it was asked; only then is it searched for a jailbreak.

    Example:
        >>> annotate("a brawl", prompt=False)["violence"]
        {'filtered': False, 'severity': 'low'}
    """
    return {name: dict(entry) for name, entry in _annotated(text, prompt=prompt)}


@lru_cache(maxsize=1024)
def _annotated(text: str, *, prompt: bool) -> tuple[tuple[str, dict[str, Any]], ...]:
    blocked = SEVERITIES.index(BLOCKED_FROM)
    results: Results = {
        category: {"filtered": SEVERITIES.index(severity) >= blocked, "severity": severity}
        for category, severity in zip(CATEGORIES, _severities(text), strict=True)
    }
    if prompt:
        found = _JAILBREAK.search(text) is not None
        results["jailbreak"] = {"filtered": found, "detected": found}
    else:
        results["protected_material_text"] = {"filtered": False, "detected": False}
    return tuple(results.items())


def is_filtered(results: Results) -> bool:
    """Whether any of the filters withholds the text."""
    return any(entry["filtered"] for entry in results.values())
