"""Which values of an attribute have a segment of their own, once more from the rows. Pure.

Values are admitted in the order of micro-batches and within one of names, as long as there is room: so they are those
with the lowest (first micro-batch, name).
"""

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pegel.schemas.grids import MAX_NAME_CHARACTERS, OTHER_NAME


class Admission:
    """Takes in the rows in any order; holds no more names than there is room for.

    Example:
        >>> rows = pa.table({"batch_id": [2, 1, 1], "segments": pa.array(
        ...     [[("c", "a")], [("c", "z")], [("c", "b")]], pa.map_(pa.string(), pa.string()))})
        >>> admission = Admission(["c"], 2)
        >>> admission.take(rows)
        >>> sorted(admission.known["c"])
        ['b', 'z']
    """

    def __init__(self, attributes: Sequence[str], cap: int) -> None:
        self._cap = cap
        self._first: dict[str, dict[str, int]] = {attribute: {} for attribute in attributes}

    @property
    def known(self) -> dict[str, frozenset[str]]:
        """Attribute -> the values that are admitted."""
        return {attribute: frozenset(names) for attribute, names in self._first.items()}

    def take(self, rows: pa.Table) -> None:
        """Take in rows with ``batch_id`` and ``segments``."""
        for attribute, first in self._first.items():
            values = pc.map_lookup(rows["segments"].combine_chunks(), attribute, "first")
            pairs = pa.table({"name": values, "batch_id": rows["batch_id"]})
            found = pairs.group_by("name").aggregate([("batch_id", "min")])
            for name, batch_id in zip(found["name"].to_pylist(), found["batch_id_min"].to_pylist(), strict=True):
                if name is not None and name != OTHER_NAME and len(name) <= MAX_NAME_CHARACTERS:
                    first[name] = min(batch_id, first.get(name, batch_id))
            kept = sorted(first.items(), key=lambda item: (item[1], item[0]))[: self._cap]
            first.clear()
            first.update(kept)


def segments_of(segments: Mapping[str, str] | None, known: Mapping[str, frozenset[str]]) -> list[str]:
    """The segments of one prediction.

    Example:
        >>> segments_of({"c": "a", "d": "x"}, {"c": frozenset("b")})
        ['*', 'c=__other__']
    """
    found = ["*"]
    for attribute, names in known.items():
        value = (segments or {}).get(attribute)
        if value is not None:
            found.append(f"{attribute}={value if value in names else OTHER_NAME}")
    return found


def admitted_in(segments: Iterable[str], attributes: Sequence[str]) -> dict[str, frozenset[str]]:
    """The same, as the names of stored partials say it: for tables of which rows were erased.

    Example:
        >>> admitted_in(["*", "c=a", "c=__other__", "d=b"], ["c"])
        {'c': frozenset({'a'})}
    """
    known: dict[str, set[str]] = {attribute: set() for attribute in attributes}
    for segment in segments:
        attribute, _, name = segment.partition("=")
        if attribute in known and name != OTHER_NAME:
            known[attribute].add(name)
    return {attribute: frozenset(names) for attribute, names in known.items()}
