"""The test of one rate against one baseline: the bound that is harmless, and what the detector's sum means. Pure."""

from collections.abc import Sequence
from math import asin, log, log1p, pi, sin, sqrt
from sys import float_info

import numpy as np
from scipy.special import betainc

from pegel.schemas.verdicts import RateVerdict
from pegel.streaming.statistics.alarm import DEAD_BAND, MIN_EVENTS
from pegel.streaming.statistics.cells import IntArray
from pegel.streaming.statistics.intervals import wilson
from pegel.streaming.statistics.rate_detector import RateDetector, log_growth, upper_bound

WINDOWS_LEVEL = 0.01
"""Final windows show a rise if the chance of their hits is below this. What opened has paid the budget already, and the
first and the last of them hold events from before and after the rise."""


def cohen_h(rate: float, baseline: float) -> float:
    """The distance of two rates in standard deviations of an event, 0 to pi, below 0 if the rate is the lower one.

    On this scale a rate of n events has the variance 1/n, whatever it is.

    References:
        Cohen 1988, "Statistical power analysis for the behavioral sciences", chapter 6.

    Example:
        From 1/4 to 3/4 it is ``2 (pi/3 - pi/6)``.

        >>> round(cohen_h(0.75, 0.25) * 3 / pi, 9)
        1.0
    """
    return 2 * asin(sqrt(rate)) - 2 * asin(sqrt(baseline))


def harmless_rate(hits: int, n: int) -> float:
    """The largest rate that is taken for harmless: the baseline's upper 99 % bound, and the dead band on top.

    Args:
        hits: 0 to n.
        n: events of the baseline.

    Returns:
        above 0; 1 if nothing could be too much.

    Example:
        No error in 3,000 answers allows 0.15 %, and 0.02 standard deviations more.

        >>> round(upper_bound(0, 3000), 5), round(harmless_rate(0, 3000), 5)
        (0.00153, 0.00242)
    """
    angle = asin(sqrt(upper_bound(hits, n))) + DEAD_BAND / 2
    return sin(angle) ** 2 if angle < pi / 2 else 1.0


class RateTest:
    """The test of one rate against one baseline.

    Args:
        name: of the rate.
        hits: of the baseline, 0 to n.
        n: its events.

    Attributes:
        bound: see :func:`harmless_rate`.
    """

    def __init__(self, name: str, hits: int, n: int) -> None:
        self.name = name
        self.hits = hits
        self.n = n
        self.bound = harmless_rate(hits, n)
        self.detector = RateDetector(self.bound)

    @property
    def can_judge(self) -> bool:
        """Whether the baseline has enough events, and a rate above which something can lie."""
        return self.n >= MIN_EVENTS and self.bound < 1

    def judge(self, sums: Sequence[float], blocks: IntArray, run_length: float) -> RateVerdict:
        """Say what the sums after the newest block mean.

        Args:
            sums: of the detector, the newest block taken in.
            blocks: (hits, n) of the last blocks since the last ring, the newest last, shape ``(b, 2)``, b at least 1;
                each has events.
            run_length: so many blocks pass on average before a false ring, or more.

        Example:
            Two quiet blocks, then two with errors in every tenth answer: it rings for the last two.

            >>> test, sums = RateTest("error_rate", 0, 3000), ()
            >>> blocks = np.array([[0, 200], [0, 200], [20, 200], [20, 200]])
            >>> for hits, n in blocks:
            ...     sums = test.detector.add(sums, hits, n)
            >>> found = test.judge(sums, blocks, 1e6)
            >>> found.rang, found.lag, found.hits, found.n, round(found.effect, 3)
            (True, 2, 40, 400, 0.644)
        """
        backwards = np.cumsum(blocks[::-1], axis=0)
        lag = self._onset(backwards)
        hits, n = (int(count) for count in backwards[lag - 1])
        statistic, threshold = log1p(self.detector.value(sums)), log1p(run_length)
        return self._verdict(hits, n, lag, statistic, threshold)

    def judge_sum(self, hits: int, n: int) -> RateVerdict:
        """Judge one sum, that of final windows, by its exact p-value alone, at :data:`WINDOWS_LEVEL`.

        Args:
            hits: 0 to n.
            n: events, at least 1.

        Returns:
            the statistic is ``-log(p)``, and the threshold likewise.

        Example:
            >>> test = RateTest("error_rate", 0, 3000)
            >>> test.judge_sum(9, 1000).rang, test.judge_sum(4, 1000).rang
            (True, False)
        """
        return self._verdict(hits, n, 1, -log(max(self._p_value(hits, n), float_info.min)), -log(WINDOWS_LEVEL))

    def _onset(self, backwards: IntArray) -> int:
        # The start from which a gambler would hold most now; the latest of equals.
        bets = log_growth(self.bound, self.detector.odds, backwards[:, :1], backwards[:, 1:])
        best = bets.max(axis=1)
        # scipy's logsumexp takes ten times as long, and this is asked for each key and block.
        return int(np.argmax(best + np.log(np.exp(bets - best[:, None]).sum(axis=1)))) + 1

    def _p_value(self, hits: int, n: int) -> float:
        # The binomial tail, exactly.
        return float(betainc(hits, n - hits + 1, self.bound)) if hits > 0 else 1.0

    def _verdict(self, hits: int, n: int, lag: int, statistic: float, threshold: float) -> RateVerdict:
        interval = wilson(hits, n)
        return RateVerdict(
            column=self.name,
            rang=statistic >= threshold,
            calibrated=True,
            lag=lag,
            n=n,
            hits=hits,
            statistic=statistic,
            threshold=threshold,
            p_value=self._p_value(hits, n),
            effect=max(0.0, cohen_h(hits / n, self.hits / self.n)),
            lower=interval.lower if interval else 0.0,
            upper=interval.upper if interval else 1.0,
            baseline_n=self.n,
            baseline_hits=self.hits,
            bound=self.bound,
        )
