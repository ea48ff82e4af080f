"""Whether events lie where the baseline has been: the condition of any estimate without labels. Pure.

Two signs, both from counts in cells that the stream keeps anyway:

- *weak answers*: more answers than in the baseline with a confidence among its lowest 5 %. New kinds of events gather
  there, and how often such answers are right is not what it was.
- *unseen values*: more values in cells or categories that the baseline never saw than a sample of it would have.

An estimate is switched off if one of them shows more than chance. Neither can see new events that look like old ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from pegel.schemas import grids
from pegel.streaming.statistics.cells import FloatArray, IntArray

WEAK_SHARE = 0.05
"""Of the baseline's answers. On CLINC150 (docs/quality.md) it shows new queries more surely than 1, 2 or 10 %."""

LEVEL = 0.01
"""An estimate is off without cause in about so many windows, for each sign: that costs less than one that misleads."""

SMALLEST_EXCESS = 0.005
"""Less than this share of the events cannot move an accuracy by more than half a point; a convention."""


@dataclass(frozen=True, slots=True)
class Outside:
    """How many events lie outside the baseline's support.

    Attributes:
        n: events that were looked at.
        share: of them outside, 0 to 1; None without events or without a baseline.
        expected: what the baseline makes one expect.
        p_value: the chance of such a share or a larger one, if events are like those of the baseline.
        outside: whether the estimate must be switched off.
    """

    n: int
    share: float | None
    expected: float | None
    p_value: float | None
    outside: bool


UNKNOWN = Outside(0, None, None, None, outside=False)


def weak_answers(events: IntArray, baseline: IntArray) -> Outside:
    """Compare the share of weak answers with the baseline's, both as samples.

    Args:
        events: by cell in ascending order of the confidence, shape ``(k,)``.
        baseline: likewise, of unseen rows, as those a model was trained on have too few weak answers.

    Example:
        Two of a hundred are weak there, and ten of a hundred here.

        >>> found = weak_answers(np.array([10, 90]), np.array([2, 98]))
        >>> found.share, found.expected, round(found.p_value, 4), found.outside
        (0.1, 0.02, 0.0165, False)
    """
    m, n = int(baseline.sum()), int(events.sum())
    if not m or not n:
        return UNKNOWN
    # The cells from below that hold at most this share; there may be none, and then whatever is below is unseen.
    last = int(np.searchsorted(np.cumsum(baseline), WEAK_SHARE * m, side="right"))
    return _judge(int(events[:last].sum()), n, int(baseline[:last].sum()), m)


def unseen_values(events: IntArray, baseline: IntArray) -> Outside:
    """Compare the share of values in cells that the baseline never saw with the share that was to be expected.

    By Good and Turing that is the number of cells with a single row over all rows: so often did the last row of the
    baseline itself fall where no other row had been. So a column with thousands of rare names is not taken for new.

    Args:
        events: by cell or category, in any order, shape ``(k,)``; all that the grid does not tell apart is one entry.
        baseline: likewise.

    References:
        Good 1953, "The population frequencies of species and the estimation of population parameters".

    Example:
        >>> found = unseen_values(np.array([90, 0, 10]), np.array([999, 1, 0]))
        >>> found.share, found.expected, found.outside
        (0.1, 0.001, True)
    """
    m, n = int(baseline.sum()), int(events.sum())
    if not m or not n:
        return UNKNOWN
    return _judge(int(events[baseline <= 0].sum()), n, int((baseline == 1).sum()), m)


def beyond_range(events: IntArray, baseline: IntArray) -> Outside:
    """Compare the share of values below the baseline's lowest or above its highest with what was to be expected.

    A value of the same law lies beyond the range of m others with the chance ``2 / (m + 1)``, by symmetry, or less.

    Args:
        events: by cell in ascending order, shape ``(k,)``.
        baseline: likewise.

    References:
        David and Nagaraja 2003, "Order statistics", section 7 (exceedances).

    Example:
        >>> found = beyond_range(np.array([0, 90, 10]), np.array([500, 499, 0]))
        >>> found.share, found.expected, found.outside
        (0.1, 0.002, True)
    """
    m, n = int(baseline.sum()), int(events.sum())
    if not m or not n:
        return UNKNOWN
    occupied = np.flatnonzero(baseline > 0)
    found = int(events[: occupied[0]].sum() + events[occupied[-1] + 1 :].sum())
    # One pseudo-value makes m + 1 of it.
    return _judge(found, n, 2, m + 1)


def unseen_names(events: Mapping[str, int], baseline: Mapping[str, int]) -> Outside:
    """:func:`unseen_values` of categories, those without a value left out.

    Names that a grid does not tell apart were seen if the baseline has any of them; then more of them are looked for.

    Args:
        events: name -> events.
        baseline: likewise.

    Example:
        >>> found = unseen_names({"a": 80, "z": 20}, {"a": 600, "b": 399, "c": 1})
        >>> found.share, found.expected, found.outside
        (0.2, 0.001, True)
    """
    known = {name: n for name, n in baseline.items() if n > 0 and name not in (grids.MISSING_NAME, grids.OTHER_NAME)}
    new = sum(n for name, n in events.items() if name not in known and name != grids.MISSING_NAME)
    others = baseline.get(grids.OTHER_NAME, 0)
    n, m = sum(events.values()) - events.get(grids.MISSING_NAME, 0), sum(known.values()) + others
    if not m or not n:
        return UNKNOWN
    return _judge(new, n, others + sum(count == 1 for count in known.values()), m)


def _judge(found: int, n: int, of_baseline: int, m: int) -> Outside:
    p_value = chance_of_as_many(found, n, of_baseline, m)
    share, expected = found / n, of_baseline / m
    off = p_value < LEVEL and share - expected >= SMALLEST_EXCESS
    return Outside(n, share, expected, p_value, off)


def chance_of_as_many(found: int, n: int, of_baseline: int, m: int) -> float:
    """The chance of so many hits or more in one of two samples with the same rate: Fisher's exact test, one-sided.

    Args:
        found: hits of the sample, 0 to n.
        n: its events.
        of_baseline: hits of the other one, 0 to m.
        m: its events.

    Example:
        Of four events two are hits, and both are in the sample of two: one of six ways to choose it.

        >>> round(chance_of_as_many(2, 2, 0, 2) * 6, 9)
        1.0
    """
    # Of all hits, the sample's part is hypergeometric.
    both = found + of_baseline
    parts: FloatArray = np.arange(found, min(both, n) + 1, dtype=np.float64)
    logs = (
        _log_choose(float(n), parts) + _log_choose(float(m), both - parts) - _log_choose(float(n + m), np.array(both))
    )
    return min(1.0, float(np.exp(logs).sum()))


def _log_choose(n: float, k: FloatArray) -> FloatArray:
    chosen: FloatArray = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return chosen
