"""What is wrong with one column, as people would say it: missing, in another unit, respelled, never seen. Pure.

Each share is compared with that of a baseline, both as samples: it counts if chance would show so much more in less
than one of a thousand cases, and if it is large enough to matter. All follows from counts that add up.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping

import numpy as np

from pegel.schemas import grids
from pegel.schemas.diagnosis import Finding, FindingKind
from pegel.schemas.grids import GridColumn
from pegel.schemas.partials import Tally
from pegel.streaming.statistics.alarm import MIN_EVENTS
from pegel.streaming.statistics.cells import IntArray, dense, lower_edges, upper_edges, values_of
from pegel.streaming.statistics.rate_test import cohen_h
from pegel.streaming.statistics.support import Outside, beyond_range, chance_of_as_many, unseen_names

FAULT_LEVEL = 0.001
FAULT_EFFECT = 0.2
"""In standard deviations of an event (Cohen's h): 1 % where the baseline has none, a jump from 10 % to 17 %. A
convention, the same as the shipped rule's on errors."""

MAGNITUDE = 10.0
"""A value so many times beyond the baseline's outermost one is taken for another unit. Convention."""

STUCK_SHARE = 0.9
VARIED_SHARE = 0.5
"""A column is stuck if so much of it is in one cell, and in the baseline less than this was. Convention."""

GONE = 0.2
"""A category is gone if less than this of what was expected came. Convention."""
_LEAST_EXPECTED = 10.0
_LEAST_GONE = 0.02


def has_risen(hits: int, n: int, usual_hits: int, usual_n: int) -> bool:
    """Whether a share is higher than it was, by more than chance and enough to matter.

    Args:
        hits: 0 to n.
        n: events now; with fewer than 50 nothing is told.
        usual_hits: 0 to usual_n.
        usual_n: events before; likewise.

    References:
        Fisher 1935 (exact test, one-sided).

    Example:
        >>> has_risen(12, 200, 0, 1000), has_risen(1, 200, 0, 1000), has_risen(60, 200, 250, 1000)
        (True, False, False)
    """
    if min(n, usual_n) < MIN_EVENTS or cohen_h(hits / n, usual_hits / usual_n) < FAULT_EFFECT:
        return False
    return chance_of_as_many(hits, n, usual_hits, usual_n) < FAULT_LEVEL


def risen(kind: FindingKind, subject: str, now: tuple[int, int], usual: tuple[int, int]) -> Iterator[Finding]:
    """The finding, if the share has risen, see :func:`has_risen`.

    Args:
        kind: what is counted.
        subject: of what.
        now: (hits, events).
        usual: the same of the baseline.
    """
    if has_risen(*now, *usual):
        yield Finding(kind, subject, now[0] / now[1], now[1], usual[0] / usual[1], usual[1])


def faults(column: GridColumn, now: Tally, baseline: Tally) -> Iterator[Finding]:
    """Whether the column's values are broken.

    Args:
        column: the column.
        now: what is looked at.
        baseline: on the same grid.

    Example:
        A third has no value any more.

        >>> from collections import Counter
        >>> column = GridColumn("x", grids.NUMERIC, "features.x")
        >>> before = Tally(cells={"x": Counter({512: 500, 520: 500})})
        >>> after = Tally(cells={"x": Counter({512: 100, 520: 100, grids.MISSING: 100})})
        >>> [(found.kind.value, round(found.share, 2), found.usual) for found in faults(column, after, before)]
        [('missing', 0.33, 0.0)]
    """
    if column.kind == grids.NUMERIC:
        found, usual = dense(now.cells.get(column.name, {})), dense(baseline.cells.get(column.name, {}))
        yield from _number_faults(column, found, usual)
    else:
        yield from _name_faults(column.name, now.categories.get(column.name, {}), _names(column, baseline))


def outside(column: GridColumn, now: Tally, baseline: Tally) -> Iterator[Finding]:
    """Whether the column has values that the baseline never had; the arguments are those of :func:`faults`."""
    if column.kind == grids.NUMERIC:
        found, usual = dense(now.cells.get(column.name, {})), dense(baseline.cells.get(column.name, {}))
        yield from _told(FindingKind.BEYOND_RANGE, column.name, beyond_range(values_of(found), values_of(usual)), usual)
    else:
        names: Mapping[str, int] = now.categories.get(column.name, {})
        known = _names(column, baseline)
        usual_n = np.array([n for name, n in known.items() if name != grids.MISSING_NAME], dtype=np.int64)
        yield from _told(FindingKind.UNSEEN_NAMES, column.name, unseen_names(names, known), usual_n)


def _told(kind: FindingKind, subject: str, found: Outside, usual: IntArray) -> Iterator[Finding]:
    if found.outside and found.share is not None:
        yield Finding(kind, subject, found.share, found.n, found.expected, int(usual.sum()))


def _number_faults(column: GridColumn, now: IntArray, usual: IntArray) -> Iterator[Finding]:
    all_now, all_usual = int(now.sum()), int(usual.sum())
    for kind, code in ((FindingKind.MISSING, grids.MISSING), (FindingKind.NON_FINITE, grids.NON_FINITE)):
        at = code - grids.ABOVE
        yield from risen(kind, column.name, (int(now[at]), all_now), (int(usual[at]), all_usual))
    values, known = values_of(now), values_of(usual)
    n, m = int(values.sum()), int(known.sum())
    yield from risen(FindingKind.MAGNITUDE, column.name, (_far_off(column, values, known), n), (0, m))
    if min(n, m) >= MIN_EVENTS and values.max() >= STUCK_SHARE * n and known.max() <= VARIED_SHARE * m:
        yield Finding(FindingKind.STUCK, column.name, int(values.max()) / n, n, int(known.max()) / m, m)


def _far_off(column: GridColumn, values: IntArray, known: IntArray) -> int:
    """How many values lie ten times beyond the baseline's range, or a tenth of it from 0.

    A constant column has no range.
    """
    occupied = np.flatnonzero(known)
    if occupied.size < 2:
        return 0
    low, high = lower_edges(column), upper_edges(column)
    least, most = low[occupied[0]], high[occupied[-1]]
    above = low >= (MAGNITUDE * most if most > 0 else most / MAGNITUDE)
    below = high <= (MAGNITUDE * least if least < 0 else least / MAGNITUDE)
    return int(values[above | below].sum())


def _names(column: GridColumn, baseline: Tally) -> Mapping[str, int]:
    return baseline.categories.get(column.name, {})


def _name_faults(column: str, now: Mapping[str, int], usual: Mapping[str, int]) -> Iterator[Finding]:
    n, m = sum(now.values()), sum(usual.values())
    missing = (now.get(grids.MISSING_NAME, 0), n), (usual.get(grids.MISSING_NAME, 0), m)
    yield from risen(FindingKind.MISSING, column, *missing)
    known = {name: count for name, count in usual.items() if count > 0 and name not in _APART}
    unseen = {name: count for name, count in now.items() if name not in known and name != grids.MISSING_NAME}
    n, m = n - missing[0][0], m - missing[1][0]
    if min(n, m) < MIN_EVENTS:
        return
    forms = {form for name in known if (form := _form(name))}
    respelled = sum(count for name, count in unseen.items() if name not in _APART and _form(name) in forms)
    new, usual_new = sum(unseen.values()), usual.get(grids.OTHER_NAME, 0)
    gone = sum(
        count / m
        for name, count in known.items()
        if count / m * n >= _LEAST_EXPECTED and now.get(name, 0) <= GONE * count / m * n
    )
    if has_risen(respelled, n, 0, m):
        yield from risen(FindingKind.RESPELLED, column, (respelled, n), (0, m))
    elif gone >= _LEAST_GONE and new / n - usual_new / m >= gone / 2:
        yield from risen(FindingKind.RESPELLED, column, (new, n), (usual_new, m))


_APART = (grids.MISSING_NAME, grids.OTHER_NAME)


def _form(name: str) -> str:
    """What stays of a name whatever its case, white space, ``-``, ``_`` and accents.

    Other signs stay, and so does a ``-`` before a digit unless it follows a letter: it may be a minus or a range.

    Example:
        >>> _form("Credit-Card ") == _form("credit_card"), _form("--")
        (True, '')
        >>> [_form(name) for name in ("C++", "1.5", "-1", "18-25", "Crème_2")]
        ['c++', '1.5', '-1', '18-25', 'creme2']
    """
    apart = unicodedata.normalize("NFKD", name).casefold()
    plain = "".join(char for char in apart if not unicodedata.combining(char))
    return _DROPPED.sub("", plain)


_DROPPED = re.compile(r"[\s_]|-(?!\d)|(?<=[^\W\d_])-")
