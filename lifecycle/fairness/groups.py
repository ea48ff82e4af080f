"""Which group each row belongs to. Pure.

A missing value is a group of its own, and what is beyond the cap is counted together: no row is dropped.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pegel.schemas.grids import MAX_NAME_CHARACTERS, OTHER_NAME

MISSING_TEXT = "(missing)"
MAX_FOUND_ATTRIBUTES = 4
"""Where no attributes are configured, so many are reported: their names come from outside. Convention, not derived."""

Group = tuple[str | None, ...]
"""One value for each attribute; None where a row has none."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """Rows by one attribute, or by the intersection of several.

    Attributes:
        attributes: their names; several for an intersection.
        groups: sorted by value, missing values last.
        codes: shape ``(n_rows,)``: the index of each row's group.
    """

    attributes: tuple[str, ...]
    groups: tuple[Group, ...]
    codes: NDArray[np.int64]

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> "Grouping":
        """The same grouping of some of the rows; groups may then be empty."""
        return Grouping(self.attributes, self.groups, self.codes[np.asarray(rows, dtype=np.int64)])


def group_text(group: Group) -> str:
    """A group in words.

    Example:
        >>> group_text(("Female", None))
        'Female × (missing)'
    """
    return " × ".join(MISSING_TEXT if value is None else value for value in group)


def attribute_text(attributes: Sequence[str]) -> str:
    """The attributes in words.

    Example:
        >>> attribute_text(("race", "sex"))
        'race × sex'
    """
    return " × ".join(attributes)


def found_attributes(segments: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """The attributes that most rows have, at most :data:`MAX_FOUND_ATTRIBUTES`, sorted by name.

    Example:
        >>> found_attributes([{"channel": "web"}, {"channel": "app", "plan": "free"}, {}])
        ('channel', 'plan')
    """
    counts = Counter(name for of_row in segments for name in of_row if len(name) <= MAX_NAME_CHARACTERS)
    most = sorted(counts, key=lambda name: (-counts[name], name))[:MAX_FOUND_ATTRIBUTES]
    return tuple(sorted(most))


def group_rows(columns: Mapping[str, Sequence[str | None]], max_groups: int) -> tuple[Grouping, ...]:
    """Group rows by each attribute, then by each pair of attributes.

    Args:
        columns: attribute -> the value of each row; a text longer than a name may be counts as other.
        max_groups: so many groups, those with the most rows, stay apart in each grouping; all others are one.

    Example:
        >>> rows = group_rows({"sex": ["f", "m", "f", None]}, 10)[0]
        >>> rows.groups, rows.codes.tolist()
        ((('f',), ('m',), (None,)), [0, 1, 0, 2])
        >>> [rows.groups for rows in group_rows({"sex": ["f", "m", "f", "x"]}, 1)]
        [(('__other__',), ('f',))]
    """
    return tuple(_group(subset, columns, max_groups) for subset in _subsets(tuple(columns)))


def _subsets(attributes: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for attribute in attributes:
        yield (attribute,)
    yield from combinations(attributes, 2)


def _group(attributes: tuple[str, ...], columns: Mapping[str, Sequence[str | None]], max_groups: int) -> Grouping:
    rows: list[Group] = list(zip(*(map(_short, columns[name]) for name in attributes), strict=True))
    other: Group = (OTHER_NAME,) * len(attributes)
    counts = Counter(rows)
    kept = set(sorted(counts, key=lambda group: (-counts[group], _order(group)))[:max_groups])
    rows = [group if group in kept else other for group in rows]
    groups = tuple(sorted(set(rows), key=_order))
    index = {group: code for code, group in enumerate(groups)}
    return Grouping(attributes, groups, np.array([index[group] for group in rows], dtype=np.int64))


def _short(value: str | None) -> str | None:
    return value if value is None or len(value) <= MAX_NAME_CHARACTERS else OTHER_NAME


def _order(group: Group) -> tuple[tuple[bool, str], ...]:
    return tuple((value is None, value or "") for value in group)
