"""Event-time windows: sums of partials, when they are final, and their revisions. Pure but for the loader it is given.

Every partial is added to its base window and to each longer window that holds it, so a roll-up is the same to the last
unit in whatever order partials come. A final window that is touched again has a new revision: the highest batch_id that
touched it. What is forgotten, or was never here because of a restart, is loaded when it is needed. A final window of
which the store only has longer ones any more is told no more.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pegel.schemas.partials import FEEDBACK_KIND, Partial, Tally, total
from pegel.streaming.watch.blocks import Key, Window, key_of
from pegel.streaming.watch.watermark import Watermark

LoadPartials = Callable[[datetime, datetime, int], Iterable[Partial]]
"""(start, end, before) -> the stored partials of windows that overlap [start, end) with a batch_id below ``before``."""

CELLS_KEPT = timedelta(minutes=10)
"""So long after its end, or twice its own length, a final window keeps its cells; then only counters, for labels."""

_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(slots=True)
class WindowSum:
    """The sum of one window of one key.

    Attributes:
        counts: of all grids together.
        tallies: grid -> sum; None once they are forgotten.
        revision: the highest micro-batch that touched it.
        kept_since: the watermark when it was touched last, at least its end.
    """

    key: Key
    start: datetime
    window_s: int
    counts: Counter[str] = field(default_factory=Counter)
    tallies: dict[str, Tally] | None = field(default_factory=dict)
    revision: int = -1
    kept_since: datetime = _EPOCH

    @property
    def end(self) -> datetime:
        """Its end, which is not in it."""
        return self.start + timedelta(seconds=self.window_s)

    def add(self, partial: Partial) -> None:
        """Add one partial. Cells that are forgotten stay so: only labels may come then."""
        self.counts.update(partial.tally.counts)
        if self.tallies is not None:
            self.tallies.setdefault(partial.grid, Tally()).add(partial.tally)
        self.revision = max(self.revision, partial.batch_id)


@dataclass(frozen=True, slots=True)
class Revision:
    """A final window to report: for the first time, or because a partial has come since.

    Attributes:
        labels_only: nothing but labels has changed since the last revision.
    """

    window: WindowSum
    labels_only: bool


class Windows:
    """The windows of all keys, in several lengths.

    Args:
        lengths: in seconds; those that a base window divides are kept.
        watermark: says what is final; whoever owns it moves it before each :meth:`absorb`.
        load: gives stored partials back; without it what is forgotten counts as empty.
    """

    def __init__(self, lengths: Sequence[int], watermark: Watermark, load: LoadPartials | None = None) -> None:
        self._lengths = tuple(sorted(set(lengths)))
        self._kept = timedelta(seconds=2 * max(self._lengths, default=0))
        self._watermark = watermark
        self._load = load
        self._sums: dict[Window, dict[Key, WindowSum]] = {}
        self._open: set[Window] = set()
        # Windows that were not final at a restart: their sums are loaded once they are.
        self._owed: set[Window] = set()
        self._next_sweep: datetime | None = None
        self._at = -1
        self._batch: list[Partial] = []

    @property
    def open_windows(self) -> tuple[Window, ...]:
        """The windows that have counts and are not final, in order."""
        return tuple(sorted(self._open | self._owed))

    def absorb(self, batch_id: int, partials: Sequence[Partial], final_before: datetime | None) -> list[Revision]:
        """Add the partials of one micro-batch.

        Args:
            batch_id: the micro-batch.
            partials: all of its partials.
            final_before: the watermark before this micro-batch.

        Returns:
            the windows to report now, in order of length, start and key: those that have become final, and those that
            were final and have been touched.
        """
        self._at, self._batch = batch_id, list(partials)
        touched = self._touched(partials, final_before)
        incomplete = [w for w, keys in touched.items() if self._is_incomplete(w, keys, final_before)]
        loaded, blurred = self._loaded(incomplete, batch_id, touched)
        changed = self._add({w: keys for w, keys in touched.items() if w not in blurred}, loaded)
        return sorted(
            self._settle(batch_id, changed, final_before),
            key=lambda r: (r.window.window_s, r.window.start, r.window.key),
        )

    def replay(self, partials: Sequence[Partial], final_before: datetime | None) -> None:
        """Add the partials of a micro-batch that has been reported already; loads nothing."""
        touched = self._touched(partials, final_before)
        still = {w: keys for w, keys in touched.items() if w not in self._owed and not _is_final(w, final_before)}
        self._add(still, set())
        self._open -= {w for w in self._open if self._watermark.has_passed(_end(w))}
        self._owed -= {w for w in self._owed if self._watermark.has_passed(_end(w))}
        for window in [w for w in self._sums if self._watermark.has_passed(_end(w))]:
            del self._sums[window]

    def owe(self, windows: Iterable[Window]) -> None:
        """Note windows that were open when a stopped process recorded its state."""
        self._owed = set(windows)

    def sum_of(self, key: Key, windows: Iterable[Window], grid: str, batch_id: int) -> Tally:
        """What some base windows of a key hold on a grid, with everything up to the last micro-batch.

        Args:
            key: the key.
            windows: base windows.
            grid: counts on other grids are left out.
            batch_id: the last micro-batch, absorbed or replayed.
        """
        return total((found.tallies or {}).get(grid, Tally()) for found in self._whole(key, windows, batch_id))

    def counts_of(self, key: Key, windows: Iterable[Window], batch_id: int) -> Counter[str]:
        """The counters of the same, of all grids together."""
        counts: Counter[str] = Counter()
        for found in self._whole(key, windows, batch_id):
            counts.update(found.counts)
        return counts

    def all_in(self, windows: Iterable[Window], batch_id: int) -> list[WindowSum]:
        """The sums of some base windows, of all keys; they are read from the store.

        Args:
            windows: base windows.
            batch_id: the last micro-batch, absorbed or replayed.
        """
        # What is at hand may lack keys since a restart.
        return self._read(list(windows), batch_id if batch_id == self._at else batch_id + 1)[0]

    def _whole(self, key: Key, windows: Iterable[Window], batch_id: int) -> list[WindowSum]:
        at_hand, missing = [], []
        for window in windows:
            found = self._sums.get(window, {}).get(key)
            if found is not None and found.tallies is not None and window not in self._owed:
                at_hand.append(found)
            else:
                missing.append(window)
        # The store is asked for what is not at hand: of a micro-batch from before a restart nothing is.
        return at_hand + self._read(missing, batch_id if batch_id == self._at else batch_id + 1, {key})[0]

    def _touched(
        self, partials: Sequence[Partial], final_before: datetime | None
    ) -> dict[Window, dict[Key, list[Partial]]]:
        touched: dict[Window, dict[Key, list[Partial]]] = {}
        for partial in partials:
            for window in self._windows_of(partial):
                touched.setdefault(window, {}).setdefault(key_of(partial), []).append(partial)
        self._open |= {w for w in touched if not _is_final(w, final_before)} - self._owed
        return touched

    def _windows_of(self, partial: Partial) -> set[Window]:
        base, seconds = partial.window_s, int((partial.window_start - _EPOCH).total_seconds())
        longer = {length for length in self._lengths if length % base == 0}
        return {(partial.window_start - timedelta(seconds=seconds % length), length) for length in longer} | {
            (partial.window_start, base)
        }

    def _is_incomplete(self, window: Window, keys: dict[Key, list[Partial]], final_before: datetime | None) -> bool:
        # A window that is not final is complete: it is forgotten only later, and owed ones are set apart.
        if window in self._owed or not _is_final(window, final_before):
            return False
        here = self._sums.get(window, {})
        return any(key not in here or _cells_are_gone(here[key], new) for key, new in keys.items())

    def _loaded(
        self, windows: list[Window], batch_id: int, touched: dict[Window, dict[Key, list[Partial]]]
    ) -> tuple[set[tuple[Window, Key]], set[Window]]:
        keys = {key for window in windows for key in touched[window]}
        loaded = set()
        sums, blurred = self._read(windows, batch_id, keys)
        for found in sums:
            window = (found.start, found.window_s)
            if found.key in touched[window]:
                self._sums.setdefault(window, {})[found.key] = found
                loaded.add((window, found.key))
        return loaded, blurred

    def _read(
        self, windows: Sequence[Window], batch_id: int, keys: set[Key] | None = None
    ) -> tuple[list[WindowSum], set[Window]]:
        # The sums of whole windows from the store and from the micro-batch at hand, for some keys or for all; and the
        # windows of which the store does not tell what is within.
        sums: dict[tuple[Window, Key], WindowSum] = {}
        wanted = set(windows)
        stored: list[Partial] = []
        for start, end in ranges(wanted):
            stored += self._load(start, end, batch_id) if self._load else ()
        for partial in (*stored, *self._batch):
            key = key_of(partial)
            for window in self._windows_of(partial) & wanted if keys is None or key in keys else ():
                sums.setdefault((window, key), WindowSum(key, *window)).add(partial)
        blurred = _blurred(wanted, {(p.window_start, p.window_s) for p in stored})
        return [found for (window, _), found in sums.items() if window not in blurred], blurred

    def _add(
        self, touched: dict[Window, dict[Key, list[Partial]]], loaded: set[tuple[Window, Key]]
    ) -> dict[tuple[Window, Key], bool]:
        # (window, key) -> whether nothing but labels came.
        changed = {}
        for window, keys in touched.items():
            if window in self._owed:
                continue
            here = self._sums.setdefault(window, {})
            for key, new in keys.items():
                # What was loaded holds this micro-batch already.
                found = here.setdefault(key, WindowSum(key, *window))
                for partial in new if (window, key) not in loaded else ():
                    found.add(partial)
                found.kept_since = max(found.end, self._watermark.time or found.end)
                changed[window, key] = all(p.kind == FEEDBACK_KIND for p in new)
        return changed

    def _settle(
        self, batch_id: int, changed: dict[tuple[Window, Key], bool], final_before: datetime | None
    ) -> list[Revision]:
        due = [w for w in self._owed if self._watermark.has_passed(_end(w))]
        for found in self._read(due, batch_id)[0]:
            found.kept_since = max(found.end, self._watermark.time or found.end)
            self._sums.setdefault((found.start, found.window_s), {})[found.key] = found
        passed = {w for w in self._open if self._watermark.has_passed(_end(w))} | set(due)
        revisions = [Revision(found, labels_only=False) for w in passed for found in self._sums.get(w, {}).values()]
        revisions += [
            Revision(self._sums[window][key], labels_only)
            for (window, key), labels_only in changed.items()
            if _is_final(window, final_before)
        ]
        self._open -= passed
        self._owed -= passed
        self._forget()
        return [r for r in revisions if r.window.window_s in self._lengths]

    def _forget(self) -> None:
        now = self._watermark.time
        if now is None or (self._next_sweep is not None and now < self._next_sweep):
            return
        self._next_sweep = now + timedelta(seconds=60)
        for window in [w for w in self._sums if _end(w) <= now]:
            here = self._sums[window]
            cells_kept = max(CELLS_KEPT, timedelta(seconds=2 * window[1]))
            for key, found in list(here.items()):
                age = now - found.kept_since
                if age > max(self._kept, cells_kept):
                    del here[key]
                elif age > cells_kept:
                    found.tallies = None
            if not here:
                del self._sums[window]


def _cells_are_gone(found: WindowSum, new: Sequence[Partial]) -> bool:
    return found.tallies is None and any(p.kind != FEEDBACK_KIND for p in new)


def _is_final(window: Window, final_before: datetime | None) -> bool:
    return final_before is not None and _end(window) <= final_before


def _blurred(wanted: Iterable[Window], stored: Iterable[Window]) -> set[Window]:
    """The windows that overlap a stored one without holding all of it.

    Example:
        >>> start = datetime(2026, 11, 25, tzinfo=UTC)
        >>> windows = [(start, 60), (start + timedelta(seconds=50), 10), (start + timedelta(seconds=60), 10)]
        >>> _blurred(windows, [(start, 60)]) == {windows[1]}
        True
    """
    return {
        one
        for one in wanted
        for start, seconds in stored
        if one[1] % seconds and start < _end(one) and one[0] < _end((start, seconds))
    }


def _end(window: Window) -> datetime:
    return window[0] + timedelta(seconds=window[1])


def ranges(windows: Iterable[Window]) -> list[tuple[datetime, datetime]]:
    """The windows as few ranges that do not overlap.

    Example:
        >>> start = datetime(2026, 11, 25, tzinfo=UTC)
        >>> [(a.minute, b.minute) for a, b in ranges([(start, 60), (start + timedelta(seconds=60), 60), (start, 10)])]
        [(0, 2)]
    """
    found: list[tuple[datetime, datetime]] = []
    for window in sorted(windows):
        if found and window[0] <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], _end(window))
        else:
            found.append((window[0], _end(window)))
    return found
