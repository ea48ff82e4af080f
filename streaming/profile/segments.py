"""Which segments an event belongs to. Pure but for the frame's columns; the names that are admitted are state.

Each attribute has room for a number of values, admitted in the order of micro-batches and then of names; all others are
counted together. So the segment of an event never changes, and nobody can make more segments than there is room for.
"""

from collections.abc import Iterable, Mapping, Sequence

from pyspark.sql import Column, DataFrame
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
        return {attribute: _counted_under(F.col("segments")[attribute]) for attribute in self._names}

    @property
    def names(self) -> list[str]:
        """The columns of :meth:`named`, one for each attribute."""
        return [f"segment_{i}" for i in range(len(self._names))]

    def named(self, events: DataFrame) -> DataFrame:
        """Add the name of an event's segment of each attribute, null where it has none.

        They are columns and no array, since an array with places left out is made event by event without compiled code.
        """
        # A step of its own: the look-up in the map would be made at each use of the value.
        raw = events.withColumns(
            {f"_{name}": F.col("segments")[a] for name, a in zip(self.names, self._names, strict=True)}
        )
        values = raw.withColumns({f"_{name}": _counted_under(F.col(f"_{name}")) for name in self.names})
        named = zip(self.names, self._names.items(), strict=True)
        return values.withColumns({n: _segment(F.col(f"_{n}"), attribute, known) for n, (attribute, known) in named})

    def of_event(self) -> Column:
        """The array of an event's segments, from the columns of :meth:`named`: ``*`` and those that it has."""
        return F.array_compact(F.array(F.lit(ALL), *self.names))


def _segment(value: Column, attribute: str, known: set[str]) -> Column:
    named = F.concat(F.lit(f"{attribute}="), value)
    other = F.when(value.isNotNull(), F.lit(f"{attribute}={OTHER_NAME}"))
    return F.when(value.isin(*sorted(known)), named).otherwise(other) if known else other


def _counted_under(value: Column) -> Column:
    # A long text is no segment; it goes with the others.
    return F.when(F.char_length(value) <= MAX_NAME_CHARACTERS, value).when(value.isNotNull(), F.lit(OTHER_NAME))
