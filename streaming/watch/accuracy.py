"""Accuracy judged on windows once their labels have come, by the detector that also judges other rates. Pure.

The windows of a key follow each other in the order of event time, each is taken in once, and what comes later of its
labels changes ``metrics`` but never a verdict. Where a key's detector stands is in the row of its last judged window.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from pegel.conf.settings import WatchSettings
from pegel.schemas.metric_names import ACCURACY, JUDGED_ACCURACY
from pegel.schemas.partials import Partial
from pegel.schemas.verdicts import AccuracyVerdict, RateVerdict, WindowVerdict
from pegel.streaming.statistics.alarm import LONGEST_LAG
from pegel.streaming.statistics.intervals import wilson
from pegel.streaming.statistics.null_tests import rate_p_value
from pegel.streaming.statistics.rate_test import RateTest, cohen_h
from pegel.streaming.watch.blocks import Key
from pegel.streaming.watch.labelled import LabelledWindow, LabelledWindows, LoadLabelled
from pegel.streaming.watch.metrics import number_row
from pegel.streaming.watch.number import Number
from pegel.streaming.watch.reference import Comparison
from pegel.streaming.watch.windows import WindowSum

Row = dict[str, Any]

_VERDICT = tuple(f.name for f in fields(AccuracyVerdict) if f.name not in {"column", "windows"})


@dataclass(frozen=True, slots=True)
class _Taken:
    """A window that the detector has taken in."""

    start: datetime
    wrong: int
    labelled: int
    events: int
    first_batch_id: int


@dataclass(slots=True)
class _Run:
    """Where the detector of one key stands; ``taken`` are the last 64 windows since it rang, the newest last."""

    baseline_id: str = ""
    sums: tuple[float, ...] = ()
    taken: deque[_Taken] = field(default_factory=lambda: deque(maxlen=LONGEST_LAG))


@dataclass(frozen=True, slots=True)
class JudgedWindow:
    """A window that was judged, with what its row says.

    Attributes:
        window: as it was then.
        test: what judged it.
        sums: of the detector after it, before a ring has it start again.
    """

    verdict: WindowVerdict
    window: LabelledWindow
    test: RateTest
    sums: tuple[float, ...]

    def row(self) -> Row:
        """The row of ``metrics``; what a restart reads is in ``judged``."""
        window, test = self.window, self.test
        labelled, wrong = window.labelled, window.wrong
        correct = labelled - wrong
        number = Number(
            JUDGED_ACCURACY,
            correct / labelled,
            labelled,
            interval=wilson(correct, labelled),
            p_value=rate_p_value(wrong, labelled, test.hits, test.n),
            effect=abs(cohen_h(wrong / labelled, test.hits / test.n)),
            baseline_id=self.verdict.baseline_id,
            label_completeness=completeness(labelled, window.events),
        )
        of = WindowSum(window.key, window.start, self.verdict.window_s, revision=window.last_batch_id)
        (rate,) = self.verdict.rates
        judged = {name: getattr(rate, name) for name in _VERDICT}
        judged |= {name: getattr(window, name) for name in ("events", "first_batch_id")}
        return number_row(number, of, self.verdict.last_batch_id) | {
            "judged": judged | {"wrong": wrong, "sums": list(self.sums)}
        }


@dataclass(frozen=True, slots=True)
class Judge:
    """By what the windows of one key are judged.

    Attributes:
        comparison: of the version; its baseline knows how often answers were right.
        run_length: so many windows pass on average before a false ring, or more.
    """

    comparison: Comparison
    run_length: float


class AccuracyWatch:
    """Judges the accuracy of all keys.

    Args:
        settings: how long windows are, how complete their labels must be, and how long they are waited for.
        load: gives windows that wait back, after a restart.
    """

    def __init__(self, settings: WatchSettings, load: LoadLabelled | None) -> None:
        self._seconds = settings.accuracy_window_seconds
        self._settings = settings
        self._load = load
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        wait = timedelta(hours=self._settings.label_wait_hours)
        self._windows = LabelledWindows(self._seconds, self._settings.label_completeness, wait)
        self._runs: dict[Key, _Run] = {}

    @property
    def waiting(self) -> int:
        """How many windows wait for labels."""
        return self._windows.waiting

    def advance(
        self,
        batch_id: int,
        partials: Sequence[Partial],
        watermark: tuple[datetime | None, datetime | None],
        judge_of: Callable[[Key], Judge | None],
        never: Callable[[Key], bool] = lambda _key: False,
    ) -> list[JudgedWindow]:
        """Take in one micro-batch.

        Args:
            batch_id: the micro-batch.
            partials: all of its partials.
            watermark: before it, and after it.
            judge_of: by what a key is judged; None while its version has no baseline that knows how often it is right.
            never: whether a key without a judge will never have one, since its version's baseline does not know it.

        Returns:
            the windows that are judged now, in order of key and start.
        """

        def judged(key: Key) -> bool | None:
            return True if judge_of(key) is not None else None if never(key) else False

        labelled = self._windows.add(partials, watermark[0])
        found = []
        for window in self._windows.due(labelled, watermark[1], judged):
            judge = judge_of(window.key)
            if judge is not None:
                found.append(self._judge(window, judge, batch_id))
        return found

    def restore(self, rows: Iterable[Mapping[str, Any]], watermark: datetime | None, batch_id: int) -> None:
        """Continue where the tables end.

        Args:
            rows: the last 64 rows of judged windows of every key (more do no harm), in any order.
            watermark: before the micro-batch that comes next.
            batch_id: that micro-batch.
        """
        self.clear()
        last: dict[Key, datetime] = {}
        for row in sorted(rows, key=lambda row: row["window_start"]):
            key = (row["model"], row["version"], row["segment"])
            last[key] = row["window_start"]
            run = self._runs.setdefault(key, _Run())
            judged = row["judged"]
            if judged["rang"]:
                self._runs[key] = _Run(row["baseline_id"])
                continue
            if run.baseline_id != row["baseline_id"]:
                run = self._runs[key] = _Run(row["baseline_id"])
            run.sums = tuple(judged["sums"])
            run.taken.append(
                _Taken(row["window_start"], judged["wrong"], row["n"], judged["events"], judged["first_batch_id"])
            )
        self._windows.restore(last, self._load, watermark, batch_id)

    def _judge(self, window: LabelledWindow, judge: Judge, batch_id: int) -> JudgedWindow:
        comparison, test = judge.comparison, judge.comparison.rates[ACCURACY]
        run = self._runs.get(window.key)
        if run is None or run.baseline_id != comparison.baseline_id:
            run = self._runs[window.key] = _Run(comparison.baseline_id)
        run.sums = test.detector.add(run.sums, window.wrong, window.labelled)
        run.taken.append(_Taken(window.start, window.wrong, window.labelled, window.events, window.first_batch_id))
        counted = np.array([(one.wrong, one.labelled) for one in run.taken])
        verdict = self._verdict(test.judge(run.sums, counted, judge.run_length), list(run.taken))
        sums = run.sums
        if verdict.rang:
            self._runs[window.key] = _Run(comparison.baseline_id)
        told = WindowVerdict(
            *window.key,
            window.start,
            self._seconds,
            window.first_batch_id,
            batch_id,
            comparison.baseline_id,
            (verdict,),
        )
        return JudgedWindow(told, window, test, sums)

    def _verdict(self, found: RateVerdict, taken: Sequence[_Taken]) -> AccuracyVerdict:
        since = taken[-found.lag :]
        told = asdict(found) | {
            "pooled_first_batch_id": min(one.first_batch_id for one in since),
            "label_completeness": completeness(found.n, sum(one.events for one in since)),
        }
        if found.rang:
            told |= {"windows": tuple((one.start, self._seconds) for one in since), "since": since[0].start}
        return AccuracyVerdict(**told)


def completeness(labelled: int, events: int) -> float:
    """Labelled events over events, 0 to 1; labels whose prediction was erased are left.

    Example:
        >>> completeness(9, 12), completeness(3, 0)
        (0.75, 1.0)
    """
    return min(1.0, labelled / events) if events > 0 else 1.0
