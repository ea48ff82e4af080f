"""Facts about the resources of Azure that Pegel's templates make, and the faults of a resource against them.

``corpus/azure-resources.json`` holds them: type and version -> place in the body -> the properties that may be set
there, those that must be, or the values that may stand there. Taken from the type definitions that the Bicep compiler
itself uses (Azure/bicep-types-az, 20 August 2026), reduced to the places that the templates use.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from equipment.bicep import Expression, Resource

FACTS: dict[str, dict[str, dict[str, list[str]]]] = json.loads(
    (Path(__file__).resolve().parents[1] / "corpus" / "azure-resources.json").read_text(encoding="utf-8")
)

_OF_THE_LANGUAGE = {"scope", "parent", "dependsOn"}
"""What stands beside the properties of a resource and is none."""


def faults(resource: Resource) -> list[str]:
    """What Azure would refuse: a version, a property or a value that it does not know, or a missing property."""
    known = FACTS.get(f"{resource.kind}@{resource.version}")
    if known is None:
        return [f"{resource.kind} has no version {resource.version}"]
    body = {key: value for key, value in resource.body.items() if key not in _OF_THE_LANGUAGE}
    return list(_faults(known, "", body))


def _faults(known: Mapping[str, Mapping[str, list[str]]], place: str, value: Any) -> Iterator[str]:
    facts = known.get(place, {})
    if isinstance(value, dict):
        if "known" in facts:
            yield from (f"{place}: {key!r} is not known" for key in value if key not in facts["known"])
            yield from (f"{place}: {key!r} is missing" for key in facts["required"] if key not in value)
        for key, deeper in value.items():
            below = key if "known" in facts else "*"
            yield from _faults(known, f"{place}.{below}".lstrip("."), deeper)
    elif isinstance(value, list):
        for deeper in value:
            yield from _faults(known, f"{place}[]", deeper)
    elif "values" in facts and not isinstance(value, Expression) and value not in facts["values"]:
        yield f"{place}: {value!r} is none of {facts['values']}"
