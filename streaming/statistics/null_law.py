"""What the alarm rule's statistic does without drift that matters: a chi-squared law, a wander and a dead band. Pure.

T is the squared length of a vector that chance alone spreads evenly, by one in each of ``df`` directions. Two things
may add to it although nothing is wrong: traffic that wanders, and a shift too small to look for. How far traffic
wanders is known from its blocks, in which direction is not; all of both is taken to lie in one direction, which of all
spreads with this trace has the heaviest tail at the levels that alarms need.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc, gammaln, stdtr

from pegel.streaming.statistics.cells import FloatArray, IntArray

_X, _W = np.polynomial.legendre.leggauss(48)
_THETA, _WEIGHT = (_X + 1) * np.pi / 4, _W * np.pi / 4
_CERTAIN = 1e9
"""With so many degrees of freedom Student's law is the normal one."""

_STEPS = 80
_SETTLED = 1e-8
_SMALLEST = 1e-300


@dataclass(frozen=True, slots=True, eq=False)
class NullLaw:
    """The law of ``Y + (shift + sqrt(1 + wander) t)^2``, Y chi-squared with ``df - 1`` degrees of freedom, t Student's.

    With ``wander = 0`` and ``known_by = inf`` this is the noncentral chi-squared law.

    Attributes:
        df: 1 or more, shape ``(r,)`` as all that follow: a law each.
        wander: variance between blocks beyond chance, over that by chance; 0 or more.
        known_by: degrees of freedom of t, those of the estimate behind ``1 + wander``; above 0, may be infinite.
        shift: harmless shift in standard errors; 0 or more.

    References:
        Rao and Scott 1981 give the laws of such sums; the largest weight dominates the tail. Student 1908 for an
        estimated variance. The integral goes over the angle between both parts, by Gauss and Legendre's rule.

    Example:
        One degree of freedom: the two-sided normal tail. Two: ``exp(-T / 2)``. A wander of 3 doubles the spread.

        >>> def law(df, wander=0.0):
        ...     return NullLaw(np.array([df]), np.array([wander]), np.array([np.inf]), np.zeros(1))
        >>> law(1).tail(np.array([1.959963984540054**2])).round(9).tolist()
        [0.05]
        >>> (law(2).tail(np.array([2 * np.log(1e6)])) * 1e6).round(6).tolist()
        [1.0]
        >>> law(1, wander=3.0).bound(np.array([0.05])).round(6).tolist()
        [15.365835]
    """

    df: IntArray
    wander: FloatArray
    known_by: FloatArray
    shift: FloatArray

    def tail(self, statistic: FloatArray) -> FloatArray:
        """The chance of a statistic of at least this size, shape ``(r,)``."""
        t = np.asarray(statistic, dtype=float)[:, None]
        half = (np.maximum(self.df, 2) - 1.0)[:, None] / 2
        alone = self._one_direction(np.sqrt(t))[:, 0]
        sine, cosine = np.sin(_THETA), np.cos(_THETA)
        # The density of Y at T sine^2, times the change of variable.
        log_density = (2 * half - 1) * np.log(sine) + half * np.log(np.maximum(t, _SMALLEST) / 2) - t * sine**2 / 2
        density = 2 * np.exp(log_density - gammaln(half)) * cosine
        below = np.sum(density * self._one_direction(np.sqrt(t) * cosine) * _WEIGHT, axis=1)
        both = below + chdtrc(2 * half[:, 0], t[:, 0])
        found: FloatArray = np.clip(np.where(self.df > 1, both, alone), 0.0, 1.0)
        return found

    def least_tail(self, statistic: FloatArray) -> FloatArray:
        """A quick number that :meth:`tail` is never below: what each of the two parts alone would give."""
        one = self._one_direction(np.sqrt(np.asarray(statistic, dtype=float))[:, None])[:, 0]
        found: FloatArray = np.maximum(one, chdtrc(self.df, statistic))
        return found

    def bound(self, alpha: FloatArray) -> FloatArray:
        """The statistic whose :meth:`tail` is ``alpha``, each between 1e-200 and 0.1, shape ``(r,)``.

        References:
            The secant method on ``sqrt(-2 ln P)`` as a function of ``sqrt(T)``, nearly a straight line, kept in bounds.
        """
        wanted = _depth(np.asarray(alpha, dtype=float))
        x = np.sqrt(self.df) + self.shift + np.sqrt(1 + self.wander) * wanted / 2
        y = _depth(self.tail(x**2)) - wanted
        low, high = np.where(y < 0, x, 0.0), np.where(y < 0, np.inf, x)
        further = x * np.where(y < 0, 1.05, 0.95)
        for _ in range(_STEPS):
            off = _depth(self.tail(further**2)) - wanted
            low, high = np.where(off < 0, further, low), np.where(off < 0, high, further)
            settled = np.abs(off) < _SETTLED
            if np.all(settled):
                break
            with np.errstate(divide="ignore", invalid="ignore"):
                following = further - off * (further - x) / (off - y)
            inside = np.isfinite(following) & (following > low) & (following < high)
            halved = np.where(np.isfinite(high), (low + high) / 2, 2 * low)
            x, y, further = further, off, np.where(settled, further, np.where(inside, following, halved))
        return further**2

    def __getitem__(self, which: IntArray | npt.NDArray[np.bool_]) -> "NullLaw":
        return NullLaw(self.df[which], self.wander[which], self.known_by[which], self.shift[which])

    def _one_direction(self, x: FloatArray) -> FloatArray:
        # P(|shift + sqrt(1 + wander) t| > x), x of shape (r, q).
        sigma = np.sqrt(1 + self.wander)[:, None]
        freedom = np.minimum(self.known_by, _CERTAIN)[:, None]
        shift = self.shift[:, None]
        found: FloatArray = stdtr(freedom, (shift - x) / sigma) + stdtr(freedom, -(x + shift) / sigma)
        return found


def joined(laws: Sequence[NullLaw]) -> NullLaw:
    """The laws one after the other."""
    return NullLaw(
        np.concatenate([law.df for law in laws]),
        np.concatenate([law.wander for law in laws]),
        np.concatenate([law.known_by for law in laws]),
        np.concatenate([law.shift for law in laws]),
    )


def _depth(p: FloatArray) -> FloatArray:
    depth: FloatArray = np.sqrt(-2 * np.log(np.clip(p, _SMALLEST, 1.0)))
    return depth
