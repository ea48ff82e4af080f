"""Stored partials of single micro-batches against the recount. Pure.

Where rows of a micro-batch were erased its partials still count them, so they may hold more than the recount, and over
the whole micro-batch they must hold just as many events more as were erased.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pegel.schemas.partials import ALL, FEEDBACK_KIND, LABELLED, LIVE
from pegel.streaming.verify.laws import Law
from pegel.streaming.verify.recount import Counted, Place

Row = Mapping[str, Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TABLE = "profiles"


class PartialLaws:
    """Checks partials, slice of time by slice of time.

    Args:
        erased: micro-batch -> rows of ``predictions`` and ``feedback`` that were erased from it.
        erased_predictions: the same for ``predictions`` alone.
    """

    def __init__(self, erased: Counter[int], erased_predictions: Counter[int]) -> None:
        self._erased = erased
        self._erased_predictions = erased_predictions
        self._more_events: Counter[int] = Counter()
        self._more_labelled: Counter[int] = Counter()
        self.live = Law("profiles", "each partial of new predictions counts what their rows give, to the unit")
        self.labels = Law("labels", "each partial of labels changes what the rows of feedback give, to the unit")
        self.totals = Law("erased rows", "partials hold just as many events more than the rows as were erased")

    @property
    def laws(self) -> tuple[Law, ...]:
        """All of them."""
        return self.live, self.labels, self.totals

    def check_events(
        self,
        kind: str,
        stored: Iterable[Row],
        counted: Mapping[Place, Counted],
        enqueued: Mapping[Place, tuple[int, int]],
    ) -> None:
        """Compare all partials of one kind, ``live`` or ``backfill``, of a slice of time that are about predictions."""
        there = _by_place((row for row in stored if row["kind"] == kind), self.live)
        for place in sorted(there.keys() | counted.keys()):
            wanted, row = counted.get(place, {}), there.get(place)
            found = {} if row is None else flat(row)
            if self._erased_predictions[place[0]]:
                self._bound(place, wanted, found)
                continue
            same = {what for what, n in wanted.items() if found.get(what) == n}
            self.live.hold(len(same))
            for what in sorted((wanted.keys() | found.keys()) - same):
                self.live.compare(_TABLE, place[0], name_of(place, what), wanted.get(what), found.get(what))
            if row is not None and place in enqueued:
                ends = micros(row["first_enqueued"]), micros(row["last_enqueued"])
                expected = enqueued[place] if kind == LIVE else (None, None)
                self.live.compare(_TABLE, place[0], name_of(place, ("enqueued",)), expected, ends)

    def check_labels(self, stored: Iterable[Row], changed: Mapping[Place, tuple[int, int]]) -> None:
        """Compare all partials of a slice of time that are about labels; ``changed`` has labelled and correct."""
        there = _by_place((row for row in stored if row["kind"] == FEEDBACK_KIND), self.labels)
        for place in sorted(there.keys() | changed.keys()):
            counts = {} if place not in there else there[place]["counts"]
            found = counts.get(LABELLED, 0), counts.get("correct", 0)
            wanted = changed.get(place, (0, 0))
            if not self._erased[place[0]]:
                self.labels.compare(_TABLE, place[0], name_of(place, ("labelled, correct",)), wanted, found)
            elif place[3] == ALL:
                self._more_labelled[place[0]] += found[0] - wanted[0]

    def finish(self) -> None:
        """Compare what is over in the micro-batches from which rows were erased."""
        for batch_id, n in sorted(self._erased_predictions.items()):
            self.totals.compare(_TABLE, batch_id, "events without rows", n, self._more_events[batch_id])
        for batch_id, n in sorted(self._erased.items()):
            over = self._more_labelled[batch_id]
            self.totals.compare(_TABLE, batch_id, f"labels without rows, 0 to {n}", min(max(over, 0), n), over)

    def _bound(self, place: Place, wanted: Counted, found: Counted) -> None:
        if place[3] == ALL:
            events = ("counts", "events")
            self._more_events[place[0]] += found.get(events, 0) - wanted.get(events, 0)
        for what, n in wanted.items():
            # Sums may have any sign, and which names are kept depends on all events.
            if what[0] in ("counts", "cells"):
                self.live.compare(
                    _TABLE, place[0], name_of(place, what), max(n, found.get(what, 0)), found.get(what, 0)
                )


def flat(row: Row) -> Counted:
    """What a row of ``profiles`` counts, flat and without zeros, see :data:`pegel.streaming.verify.recount.Counted`.

    Example:
        >>> numeric = {"x": {"cells": {512: 2, -1: 0}, "sum_q": 0, "sum_q2": 4}}
        >>> flat({"counts": {"events": 2}, "numeric": numeric, "categorical": {"y": {"a": 2}}})
        {('counts', 'events'): 2, ('cells', 'x', '512'): 2, ('sum_q2', 'x'): 4, ('names', 'y', 'a'): 2}
    """
    counted: Counted = {("counts", name): n for name, n in (row["counts"] or {}).items()}
    for column, content in (row["numeric"] or {}).items():
        counted |= {("cells", column, str(cell)): n for cell, n in (content["cells"] or {}).items()}
        counted |= {("sum_q", column): content["sum_q"], ("sum_q2", column): content["sum_q2"]}
    for column, names in (row["categorical"] or {}).items():
        counted |= {("names", column, name): n for name, n in names.items()}
    return {what: n for what, n in counted.items() if n}


def micros(time: datetime | None) -> int | None:
    """Microseconds since 1970."""
    return None if time is None else (time - _EPOCH) // _MICROSECOND


def _by_place(rows: Iterable[Row], law: Law) -> dict[Place, Row]:
    found: dict[Place, Row] = {}
    for row in rows:
        start = micros(row["window_start"])
        place = row["batch_id"], row["model"], row["version"], row["segment"], start or 0
        if place in found:
            law.compare(_TABLE, place[0], name_of(place, ("rows",)), 1, 2)
        found[place] = row
    return found


def name_of(place: Place, what: tuple[str, ...]) -> str:
    """What a difference is about, within its micro-batch."""
    _, model, version, segment, window = place
    start = (_EPOCH + window * _MICROSECOND).isoformat()
    return f"{model}/{version} {segment} {start} {' '.join(what)}"
