"""Which segments an event belongs to. Pure but for the frame's columns; the names that are admitted are state.

Each attribute has room for a number of values, admitted in the order of micro-batches and then of names; all others are
counted together. So the segment of an event never changes, and nobody can make more segments than there is room for.
"""

from collections.abc import Iterable, Mapping, Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F  # noqa: N812

from pegel.schemas.grids import MAX_NAME_CHARACTERS, OTHER_NAME
from pegel.schemas.partials import ALL


class Segments:
    """The admitted values of each attribute.

    Args:
        attributes: the attributes that roll-ups are made by.
        cap: how many values of each are admitted.
    """

    def __init__(self, attributes: Sequence[str], cap: int) -> None:
        self._cap = cap
        self._names: dict[str, set[str]] = {attribute: set() for attribute in attributes}

    def restore(self, segments: Iterable[str]) -> None:
        """Replace what is admitted by the segments of stored partials."""
        for names in self._names.values():
            names.clear()
        for segment in segments:
            attribute, _, name = segment.partition("=")
            if attribute in self._names and name != OTHER_NAME:
                self._names[attribute].add(name)

    def admit(self, found: Mapping[str, Iterable[str]]) -> None:
        """Admit the values of one micro-batch, in the order of their names, as long as there is room."""
        for attribute, names in found.items():
            known = self._names[attribute]
            for name in sorted(set(names) - known - {OTHER_NAME}):
                if len(known) < self._cap:
                    known.add(name)

    @property
    def values(self) -> dict[str, Column]:
        """For each attribute the value that an event is counted under, null where it has none."""
        return {attribute: self._value(attribute) for attribute in self._names}

    def of_event(self) -> Column:
        """The array of an event's segments: ``*`` and one for each attribute that it has."""
        own = [self._segment(attribute, known) for attribute, known in self._names.items()]
        return F.array_compact(F.array(F.lit(ALL), *own))

    def _segment(self, attribute: str, known: set[str]) -> Column:
        value = self._value(attribute)
        named = F.concat(F.lit(f"{attribute}="), value)
        other = F.when(value.isNotNull(), F.lit(f"{attribute}={OTHER_NAME}"))
        return F.when(value.isin(*sorted(known)), named).otherwise(other) if known else other

    @staticmethod
    def _value(attribute: str) -> Column:
        # A long text is no segment; it goes with the others.
        value = F.col("segments")[attribute]
        return F.when(F.char_length(value) <= MAX_NAME_CHARACTERS, value).when(value.isNotNull(), F.lit(OTHER_NAME))
