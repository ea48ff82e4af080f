"""Ten bins at a baseline's deciles, and what of rare bins may be tested. Pure."""

import numpy as np

from pegel.streaming.statistics.cells import FloatArray, IntArray
from pegel.streaming.statistics.samples import Sample
from pegel.streaming.statistics.share_test import MIN_EXPECTED

BINS = 10


def decile_edges(baseline: Sample) -> FloatArray:
    """Where the bins end: the nine deciles of the finite values, equal ones merged.

    A bin reaches from above one edge up to and with the next; the first and the last are open, so that no value is
    outside. Where the lowest decile is the lowest value itself, values below it get a bin of their own: else those that
    the baseline has never seen would be counted with its most frequent one.

    Args:
        baseline: a sample.

    Returns:
        ascending, shape ``(e,)`` with e from 0 to 10; the deciles as ``numpy.quantile`` has them.

    Example:
        >>> decile_edges(Sample(np.arange(11.0), 0, 0)).tolist()
        [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
        >>> len(decile_edges(Sample(np.array([5.0, 5.0]), 0, 0)))
        2
    """
    values = baseline.finite
    if not values.size:
        return values
    at = (values.size - 1) * np.arange(1, BINS) / BINS
    lower = at.astype(np.int64)
    under, over, part = values[lower], values[np.minimum(lower + 1, values.size - 1)], at - lower
    # Two products in place of a difference, which may be beyond what a float holds.
    edges = np.unique(np.where(under == over, under, under * (1 - part) + over * part))
    return np.concatenate([[np.nextafter(values[0], -np.inf)], edges]) if edges[0] == values[0] else edges


def count_in_bins(sample: Sample, missing: int, edges: FloatArray) -> IntArray:
    """Count a sample; infinite values are in the open bins, missing values in the last of all.

    Args:
        sample: the values.
        missing: how many rows have none.
        edges: as :func:`decile_edges` gives them.

    Returns:
        shape ``(e + 2,)``; the sum is ``sample.n + missing``.

    Example:
        >>> count_in_bins(Sample(np.array([0.0, 1.0, 2.0, 3.0]), 1, 0), 7, np.array([1.0, 2.0])).tolist()
        [3, 1, 1, 7]
    """
    up_to = np.searchsorted(sample.finite, edges, side="right")
    counts = np.diff(np.concatenate([[0], up_to, [sample.finite.size]]))
    counts[0] += sample.below
    counts[-1] += sample.above
    return np.append(counts, missing)


def join_rare(current: IntArray, baseline: IntArray, *, made_of_baseline: bool = False) -> tuple[IntArray, IntArray]:
    """Both counts with the rare bins joined to one: what laws for many rows may be asked about.

    Args:
        current: counts, shape ``(k,)``.
        baseline: likewise.
        made_of_baseline: see :func:`split_rare`.

    Returns:
        both, of the same shape; a single bin if nothing can be told apart.

    Example:
        >>> [a.tolist() for a in join_rare(np.array([60, 38, 1, 1]), np.array([60, 30, 5, 5]))]
        [[60, 38, 2], [60, 30, 10]]
        >>> [a.tolist() for a in join_rare(np.array([60, 40, 0]), np.array([60, 39, 1]))]
        [[60, 40], [60, 40]]
    """
    own, rest = split_rare(current, baseline, made_of_baseline=made_of_baseline)
    joined = [side[own] if not rest.size else np.append(side[own], side[rest].sum()) for side in (current, baseline)]
    return joined[0], joined[1]


def split_rare(current: IntArray, baseline: IntArray, *, made_of_baseline: bool = False) -> tuple[IntArray, IntArray]:
    """Which bins stand alone and which are joined; empty ones are in neither.

    Rare is a bin in which the smaller sample expects fewer than :data:`~.share_test.MIN_EXPECTED` rows. If all of them
    together are still rare, they join the smallest other bin.

    Args:
        current: counts, shape ``(k,)``.
        baseline: likewise.
        made_of_baseline: whether the bins were cut so that the baseline's counts are what they are. Then the baseline
            alone says what is expected of a bin that it fills: both together would tell which bins the current sample
            has few rows of, and to join these would make a drift of chance. Else both together say it, and a test of
            the rest keeps its level since what is joined depends on the sums alone.

    Example:
        >>> [a.tolist() for a in split_rare(np.array([60, 38, 1, 1]), np.array([60, 30, 5, 5]))]
        [[0, 1], [2, 3]]
    """
    n, m = int(current.sum()), int(baseline.sum())
    both = current + baseline
    together = both / max(n + m, 1)
    shares = np.where(baseline > 0, baseline / max(m, 1), together) if made_of_baseline else together
    own = np.flatnonzero(shares * min(n, m) >= MIN_EXPECTED)
    rest = np.setdiff1d(np.flatnonzero(both), own)
    if rest.size and own.size and together[rest].sum() * min(n, m) < MIN_EXPECTED:
        smallest = int(np.argmin(shares[own]))
        rest, own = np.append(rest, own[smallest]), np.delete(own, smallest)
    return own, rest
