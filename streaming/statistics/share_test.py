"""Whether the shares of categories moved, for many pooled samples at once. Pure.

Pearson's two-sample test where counts are large enough for it, an exact test for the rest, and, if asked, a null
hypothesis that allows shares to move a little.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, betainc, betainccinv, chdtri

from pegel.streaming.statistics.cells import FloatArray, IntArray

MIN_EXPECTED = 5.0
"""Below this expected count the chi-squared law of a cell is off. Source: Cochran 1954, a convention."""

_SMALLEST_P = 1e-300


@dataclass(frozen=True, slots=True, eq=False)
class ShareTest:
    """One row per sample: a statistic that is at most chi-squared distributed while the null hypothesis holds.

    Attributes:
        statistic: shape ``(r,)``.
        df: degrees of freedom, shape ``(r,)``; 0 where there is nothing to compare.
    """

    statistic: FloatArray
    df: IntArray


def share_test(samples: IntArray, baseline: IntArray, slack: float = 0.0, alpha: float = 1e-9) -> ShareTest:
    """Test that the samples have the baseline's shares.

    Categories with an expected count below :data:`MIN_EXPECTED` (under the pooled shares) are taken together. If even
    these together expect fewer, they are tested exactly: given how many both samples have of them, the sample's part
    is about binomial (a little narrower), and the two-sided p-value is turned into the chi-squared value with one
    degree of freedom that has this p-value.

    With ``slack`` t the null hypothesis is 'the total variation between the true shares is at most t'. The statistic
    is then the smallest weighted squared distance between what was seen and any shift that t allows. As the true shift
    is one of these, the statistic is at most the one at the truth, so the chi-squared bound holds for every such
    shift.

    Args:
        samples: counts, shape ``(r, k)``.
        baseline: counts, shape ``(k,)``.
        slack: total variation that is allowed, 0 to 1.
        alpha: level at which the exact test with slack bounds the baseline's own share.

    References:
        Pearson 1900; Przyborowski and Wilenski 1940 (the exact part).

    Example:
        Shares 3/4, 1/4 against 1/2, 1/2, 80 each: pooled 5/8, 3/8, so ``(1/4)^2 * 40 * (8/5 + 8/3) = 32/3``. All of it
        is a shift of 1/4, which a slack of 1/4 allows.

        >>> share_test(np.array([[60, 20]]), np.array([40, 40])).statistic.round(9).tolist()
        [10.666666667]
        >>> share_test(np.array([[60, 20]]), np.array([40, 40]), slack=0.25).statistic.tolist()
        [0.0]
    """
    n, m = samples.sum(axis=1), int(baseline.sum())
    kept, rest_kept, rest, rest_baseline = _keep(samples, baseline, n, m)
    o = np.column_stack([np.where(kept, samples, 0), np.where(rest_kept, rest, 0)])
    b = np.column_stack([np.where(kept, baseline, 0), np.where(rest_kept, rest_baseline, 0)])
    statistic, df = _pearson(o, b, slack)
    exact = ~rest_kept & (rest + rest_baseline > 0) & kept.any(axis=1)
    if exact.any():
        p = _rest_p(rest[exact], rest_baseline[exact], n[exact], m, slack=slack, alpha=alpha)
        statistic[exact] += chdtri(1, np.maximum(p, _SMALLEST_P))
        df[exact] += 1
    return ShareTest(statistic, df)


def _keep(samples: IntArray, baseline: IntArray, n: IntArray, m: int) -> tuple[np.ndarray, ...]:
    # Which categories stand alone, whether the others do together, and the others' counts on both sides.
    smaller = np.minimum(n, m) / np.maximum(n + m, 1)
    kept = (samples + baseline) * smaller[:, None] >= MIN_EXPECTED
    rest = np.where(kept, 0, samples).sum(axis=1)
    rest_baseline = np.where(kept, 0, baseline).sum(axis=1)
    return kept, (rest + rest_baseline) * smaller >= MIN_EXPECTED, rest, rest_baseline


def _pearson(o: IntArray, b: IntArray, slack: float) -> tuple[FloatArray, IntArray]:
    n, m = o.sum(axis=1, keepdims=True), b.sum(axis=1, keepdims=True)
    usable = (n > 0) & (m > 0)
    n, m = np.maximum(n, 1), np.maximum(m, 1)
    variance = (o + b) / (n + m) * (1 / n + 1 / m)
    seen = usable & (variance > 0)
    shift = np.where(seen, np.abs(o / n - b / m), 0.0)
    variance = np.where(seen, variance, 1.0)
    if slack > 0:
        shift = _beyond(shift, variance, seen, slack)
    df = np.maximum(seen.sum(axis=1) - 1, 0)
    return np.where(df > 0, np.sum(shift**2 / variance, axis=1), 0.0), df


def _beyond(shift: FloatArray, variance: FloatArray, seen: np.ndarray, slack: float) -> FloatArray:
    # Minimise sum((shift - s)^2 / variance) over sum|s| <= 2 slack. What stays of each shift is
    # min(shift, nu * variance); with the shifts in descending order of shift / variance, nu is the largest of
    # (sum of the first j shifts - 2 slack) / (sum of their variances).
    order = np.argsort(-np.where(seen, shift / variance, -1.0), axis=1)
    shifts = np.cumsum(np.take_along_axis(shift, order, axis=1), axis=1)
    variances = np.cumsum(np.take_along_axis(variance, order, axis=1), axis=1)
    nu = np.maximum(0.0, np.max((shifts - 2 * slack) / variances, axis=1, keepdims=True))
    left: FloatArray = np.minimum(shift, nu * variance)
    return left


def _rest_p(rest: IntArray, rest_baseline: IntArray, n: IntArray, m: int, *, slack: float, alpha: float) -> FloatArray:
    if slack > 0:
        # The baseline's share is at most `highest`, but for a chance of alpha / 2; the other half goes to the sample.
        highest = betainccinv(rest_baseline + 1.0, np.maximum(m - rest_baseline, 1e-9), alpha / 2)
        one_sided = _at_least(rest, n, np.minimum(highest + slack, 1.0))
    else:
        both, part = rest + rest_baseline, n / (n + m)
        one_sided = np.minimum(_at_least(rest, both, part), bdtr(rest, both, part))
    two_sided: FloatArray = np.minimum(1.0, 2 * one_sided)
    return two_sided


def _at_least(x: IntArray, n: IntArray, share: FloatArray) -> FloatArray:
    # P(X >= x) for a binomial X.
    return np.where(x > 0, betainc(np.maximum(x, 1), n - np.maximum(x, 1) + 1.0, share), 1.0)
