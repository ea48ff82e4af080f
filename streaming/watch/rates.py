"""The rates that are judged on the stream: what of the counts they are made of, and where their detectors stand. Pure.

A rate is hits over events, both counters of the partials, so any sum of partials has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pegel.schemas import metric_names
from pegel.schemas.partials import ANSWERED, ERRORS, EVENTS
from pegel.streaming.statistics.rate_test import RateTest


@dataclass(frozen=True, slots=True)
class RateRun:
    """Where the detector of one rate of one key stands.

    Attributes:
        sums: of its bets, after the newest block; empty at the start and after a ring.
        start: the block from which they count.
    """

    sums: tuple[float, ...] = ()
    start: int = 0


def rates_in(counts: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Rate -> (hits, events) of what was counted.

    Example:
        >>> rates_in({"events": 200, "errors": 3})
        {'error_rate': (3, 200)}
    """
    return {metric_names.ERROR_RATE: (counts.get(ERRORS, 0), counts.get(EVENTS, 0))}


def rate_tests(baseline: Mapping[str, int]) -> dict[str, RateTest]:
    """Rate -> its test, for the rates of which the baseline knows enough.

    Args:
        baseline: its counts. One that does not say how many answered may not have counted errors, and is not asked.

    Example:
        >>> sorted(rate_tests({"events": 3000, "answered": 3000})), sorted(rate_tests({"events": 3000}))
        (['error_rate'], [])
    """
    failed = baseline.get(ERRORS, 0)
    found = RateTest(metric_names.ERROR_RATE, failed, failed + baseline.get(ANSWERED, 0))
    return {found.name: found} if found.can_judge else {}
