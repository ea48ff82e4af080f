"""Windows that wait for their labels, and when each is to be judged: once, in the order of event time. Pure.

Labels come late and are corrected, so a window is judged by what is known at one moment: when enough of its events have
a label, or when labels are no longer waited for. What waits follows from stored partials, the watermark and the windows
that have been judged, so a restart finds the same.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pegel.schemas.partials import ALL, CORRECT, EVENTS, LABELLED, LIVE, Partial
from pegel.streaming.watch.blocks import Key, key_of

_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(slots=True)
class LabelledWindow:
    """What is known of a window that has not been judged.

    Attributes:
        events: in it.
        labelled: of these, with a label.
        correct: of these, those whose answer the label calls right.
        live: whether any event of it came from the live stream; others are never judged, nor are they in blocks.
        first_batch_id: first micro-batch with an event or a label of it.
        last_batch_id: the last one.
    """

    key: Key
    start: datetime
    events: int = 0
    labelled: int = 0
    correct: int = 0
    live: bool = False
    first_batch_id: int = 2**63 - 1
    last_batch_id: int = -1

    @property
    def wrong(self) -> int:
        """The labelled answers that were not right; counts that cannot be, say after an erasure, are cut off."""
        return min(max(0, self.labelled - self.correct), self.labelled)

    def add(self, other: "LabelledWindow") -> None:
        """Add what another micro-batch says of the same window."""
        self.events += other.events
        self.labelled += other.labelled
        self.correct += other.correct
        self.live = self.live or other.live
        self.first_batch_id = min(self.first_batch_id, other.first_batch_id)
        self.last_batch_id = max(self.last_batch_id, other.last_batch_id)


LoadLabelled = Callable[[datetime, int, int], Iterable[LabelledWindow]]
"""(since, before, seconds) -> what micro-batches below ``before`` hold of windows of this length from ``since`` on."""


class LabelledWindows:
    """The windows of all versions that wait for labels; those of all their traffic, since no baseline is of a segment.

    Windows are taken together, the oldest first, until so many of their events as asked for have a label; then each of
    them that has labels is judged, by its own. So one event that never gets a label holds nothing up. What is older
    than the wait goes by itself.

    Args:
        seconds: how long a window is.
        completeness: labelled events over events from which on windows are judged, above 0 to 1.
        wait: so long after its end a window is judged by the labels that it has; without any it never is.
    """

    def __init__(self, seconds: int, completeness: float, wait: timedelta) -> None:
        self._seconds = seconds
        self._length = timedelta(seconds=seconds)
        self._completeness = completeness
        # In whole windows, so that what is due changes only as the watermark passes the end of one.
        self._wait = -(-wait // self._length) * self._length
        self._waiting: dict[Key, dict[datetime, LabelledWindow]] = {}
        self._judged_up_to: dict[Key, datetime] = {}
        self._looked_at: datetime | None = None
        self._unjudged: set[Key] = set()

    @property
    def waiting(self) -> int:
        """How many windows wait."""
        return sum(map(len, self._waiting.values()))

    def add(self, partials: Iterable[Partial], watermark_before: datetime | None) -> set[Key]:
        """Add the partials of one micro-batch.

        Args:
            partials: all of its partials.
            watermark_before: the watermark before it.

        Returns:
            the keys about which labels came.
        """
        labelled = set()
        for partial in partials:
            if self._seconds % partial.window_s:
                continue
            counts, key = partial.tally.counts, key_of(partial)
            window = LabelledWindow(
                key,
                self._start_of(partial.window_start),
                counts[EVENTS],
                counts[LABELLED],
                counts[CORRECT],
                partial.kind == LIVE,
                partial.batch_id,
                partial.batch_id,
            )
            if self._add(window, watermark_before) and (window.labelled or window.correct):
                labelled.add(key)
        return labelled

    def due(
        self, labelled: set[Key], watermark: datetime | None, judged: Callable[[Key], bool | None]
    ) -> Iterator[LabelledWindow]:
        """The windows to judge now, in order of key and start; they wait no longer.

        Args:
            labelled: the keys about which labels came since this was asked last.
            watermark: after the micro-batch.
            judged: whether a key can be judged. While it is False the key's windows wait on, as long as any; where it
                is None they never can be, and are let go.
        """
        if watermark is None:
            return
        passed = self._start_of(watermark)
        all_of_them = passed != self._looked_at
        self._looked_at = passed
        # A key may become one that can be judged at any time.
        for key in sorted(self._waiting if all_of_them else (labelled | self._unjudged) & self._waiting.keys()):
            can_judge = judged(key)
            (self._unjudged.add if can_judge is False else self._unjudged.discard)(key)
            if can_judge is None:
                del self._waiting[key]
                continue
            # What waits for a judge changes only as windows get too old.
            if not (can_judge or all_of_them):
                continue
            yield from self._due(key, watermark, can_judge=can_judge)
            if not self._waiting[key]:
                del self._waiting[key]

    def restore(
        self, judged: Mapping[Key, datetime], load: LoadLabelled | None, watermark: datetime | None, batch_id: int
    ) -> None:
        """Find again what waits.

        Args:
            judged: key -> start of the last window that was judged.
            load: gives the windows back.
            watermark: before the micro-batch that comes next.
            batch_id: that micro-batch.
        """
        self._waiting.clear()
        self._judged_up_to = {key: start + self._length for key, start in judged.items()}
        self._looked_at = None
        self._unjudged.clear()
        since = _EPOCH if watermark is None else self._start_of(watermark - self._wait - self._length)
        for window in load(since, batch_id, self._seconds) if load else ():
            self._add(window, watermark)

    def _add(self, window: LabelledWindow, watermark: datetime | None) -> bool:
        if window.key[2] != ALL:
            return False
        judged_up_to = self._judged_up_to.get(window.key)
        if judged_up_to is not None and window.start < judged_up_to:
            return False
        if self._is_over(window, watermark):
            return False
        of_key = self._waiting.setdefault(window.key, {})
        of_key.setdefault(window.start, LabelledWindow(window.key, window.start)).add(window)
        return True

    def _due(self, key: Key, watermark: datetime, *, can_judge: bool) -> Iterator[LabelledWindow]:
        waiting = self._waiting[key]
        for window in [window for window in waiting.values() if not window.live and self._is_over(window, watermark)]:
            del waiting[window.start]
        final = sorted(
            (window for window in waiting.values() if window.live and window.start + self._length <= watermark),
            key=lambda window: window.start,
        )
        while final:
            taken = 1 if self._is_over(final[0], watermark) else self._complete(final) if can_judge else 0
            if not taken:
                return
            for window in final[:taken]:
                del waiting[window.start]
                if can_judge and window.labelled > 0:
                    self._judged_up_to[key] = window.start + self._length
                    yield window
            final = final[taken:]

    def _complete(self, windows: Sequence[LabelledWindow]) -> int:
        """How many of the windows, from the first on, are complete enough together; 0 if none are."""
        events = labelled = 0
        for taken, window in enumerate(windows, 1):
            events += window.events
            labelled += max(0, window.labelled)
            if labelled > 0 and labelled >= self._completeness * events:
                return taken
        return 0

    def _is_over(self, window: LabelledWindow, watermark: datetime | None) -> bool:
        return watermark is not None and window.start + self._length + self._wait <= watermark

    def _start_of(self, time: datetime) -> datetime:
        return time - (time - _EPOCH) % self._length
