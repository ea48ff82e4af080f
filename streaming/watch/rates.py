"""The rates that are judged on the stream: what of the counts they are made of, and where their detectors stand. Pure.

A rate is hits over events, both sums of counts of the partials, so any sum of partials has it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pegel.schemas import metric_names
from pegel.schemas.grids import CATEGORICAL, GridColumn
from pegel.schemas.partials import ANSWERED, CORRECT, ERRORS, EVENTS, LABELLED
from pegel.streaming.statistics.answer_shares import FINISH_SOURCE, FINISHED, UNKNOWN, unfinished
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


def rates_in(counts: Mapping[str, int], finishes: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Rate -> (hits, events), for the rates of which anything was counted.

    Args:
        counts: the counters, of all grids.
        finishes: finish reason -> answers.

    Example:
        >>> rates_in({"events": 200, "errors": 3}, {"stop": 190, "length": 7})
        {'error_rate': (3, 200), 'unfinished_rate': (7, 197)}
    """
    found = {
        metric_names.ERROR_RATE: (counts.get(ERRORS, 0), counts.get(EVENTS, 0)),
        metric_names.UNFINISHED_RATE: unfinished(finishes),
        # As all rates it counts what is bad: the labelled answers that were not right.
        metric_names.ACCURACY: _not_right(counts),
    }
    return {name: counted for name, counted in found.items() if counted[1] > 0}


def rate_tests(counts: Mapping[str, int], finishes: Mapping[str, int]) -> dict[str, RateTest]:
    """Rate -> its test, for the rates of which the baseline knows enough.

    Args:
        counts: the baseline's. One that does not say how many answered may not have counted errors, and is not asked.
        finishes: finish reason -> answers of the baseline.

    Example:
        >>> sorted(rate_tests({"events": 3000, "answered": 3000}, {"stop": 40}))
        ['error_rate']
        >>> sorted(rate_tests({"events": 3000}, {"stop": 3000}))
        ['unfinished_rate']
    """
    failed = counts.get(ERRORS, 0)
    tests = (
        RateTest(metric_names.ERROR_RATE, failed, failed + counts.get(ANSWERED, 0)),
        RateTest(metric_names.UNFINISHED_RATE, *unfinished(finishes)),
        RateTest(metric_names.ACCURACY, *_not_right(counts)),
    )
    return {test.name: test for test in tests if test.can_judge}


def _not_right(counts: Mapping[str, int]) -> tuple[int, int]:
    labelled = max(0, counts.get(LABELLED, 0))
    return min(max(0, labelled - counts.get(CORRECT, 0)), labelled), labelled


def finish_column(columns: Iterable[GridColumn]) -> str | None:
    """The column that says how answers ended; None if none does, or its grid is too old to know a good end by name."""
    return next((column.name for column in columns if says_how_it_ended(column)), None)


def says_how_it_ended(column: GridColumn) -> bool:
    """Whether each good end of an answer is counted by its name, so that all others are not good."""
    named = column.source == FINISH_SOURCE and column.kind == CATEGORICAL
    return named and {*FINISHED, UNKNOWN} <= set(column.categories)
