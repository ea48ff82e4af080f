"""What the stream itself went through around an incident: refused, expired and silent, and who gave labels. Edge.

Read from ``batches``, ``gaps``, ``dead_letters``, ``feedback`` and ``profiles``, rows with a lower ``batch_id`` only,
so that a replay finds the same. None of it belongs to one model: a fault of the stream is everybody's.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from pegel.schemas.diagnosis import Finding, FindingKind, Symptoms
from pegel.schemas.partials import LIVE
from pegel.schemas.verdicts import Evidence
from pegel.streaming.ingest.batch import COUNT_COLUMNS, counts_of
from pegel.streaming.statistics.column_symptoms import FAULT_LEVEL, has_risen, risen
from pegel.streaming.statistics.mix_shift import moved_shares
from pegel.streaming.statistics.support import chance_of_as_many
from pegel.streaming.watch.state import micros
from pegel.streaming.watch.watcher import partition_clock
from pegel.tables.delta import DeltaTables

Rows = Sequence[Mapping[str, Any]]

BATCHES_BEFORE = 200
"""So many micro-batches before the evidence, of the same checkpoint, say what is usual."""

TIME_BEFORE = timedelta(hours=1)
"""Labels about so long before the evidence say who usually gives them."""

MOVED_SOURCES = 0.2
"""The sources of labels have changed if their total variation is so large, by more than chance. Convention."""


@dataclass(frozen=True, slots=True)
class Stream:
    """The rows of some micro-batches.

    Attributes:
        batches: of ``batches``, their counts and offsets.
        reasons: reason code -> refused prediction events.
        expired: events that expired unread.
    """

    batches: Rows = ()
    reasons: Mapping[str, int] = field(default_factory=Counter)
    expired: int = 0

    @property
    def received(self) -> int:
        """Prediction events that were read."""
        return sum(row["received"] for row in self.batches)


class Surroundings:
    """Looks around an incident.

    Args:
        tables: the stream's.
        predictions_hub: whose partitions hold prediction events.
    """

    def __init__(self, tables: DeltaTables, predictions_hub: str) -> None:
        self._tables = tables
        self._hub = predictions_hub

    def add_to(self, symptoms: Symptoms, evidence: Evidence, before: int) -> Symptoms:
        """The symptoms with what was found around them.

        Args:
            symptoms: of the incident's windows.
            evidence: of the incident.
            before: the micro-batch that is decided; rows of it and of later ones are passed over.

        Raises:
            OutsideError: if a table cannot be read.
        """
        first = evidence.first_batch_id
        now = self._stream(first, self._end_of(evidence, before))
        usual = self._stream(max(first - BATCHES_BEFORE, first - first % 10**9), first)
        labels = tuple(self._labels(evidence, before)) if symptoms.realised is not None else ()
        found = stream_faults(now, usual, self._hub)
        return replace(symptoms, faults=(*found, *symptoms.faults), labels=labels)

    def _end_of(self, evidence: Evidence, before: int) -> int:
        """The micro-batch after the last one that brought live events of the evidence's windows.

        Those of a loss of accuracy may be a day old, and what came since is not about them.
        """
        if not evidence.windows:
            return before
        asked = (
            "SELECT model, version, segment, max(batch_id) AS last FROM t "
            f"WHERE kind = '{LIVE}' AND batch_id < {before:d} AND {_within('window_start', *_span(evidence))} "
            "GROUP BY model, version, segment"
        )
        key = (evidence.model, evidence.version, evidence.segment)
        rows = self._tables.read("profiles", asked)
        last = [row["last"] for row in rows if (row["model"], row["version"], row["segment"]) == key]
        return max(last) + 1 if last else before

    def _stream(self, first: int, end: int) -> Stream:
        within = f"batch_id >= {first:d} AND batch_id < {end:d}"
        refused = f"SELECT reason, hub, count(*) AS n FROM t WHERE {within} GROUP BY reason, hub"
        reasons: Counter[str] = Counter()
        for row in self._tables.read("dead_letters", refused):
            if row["hub"] == self._hub:
                reasons[row["reason"]] += row["n"]
        gaps = self._tables.read("gaps", f"SELECT cause, first_offset, last_offset, hub FROM t WHERE {within}")
        lost = (gap for gap in gaps if gap["cause"] == "expired" and gap["hub"] == self._hub)
        return Stream(
            self._tables.read("batches", f"SELECT {', '.join(COUNT_COLUMNS)}, offsets FROM t WHERE {within}"),
            reasons,
            sum(gap["last_offset"] - gap["first_offset"] + 1 for gap in lost),
        )

    def _labels(self, evidence: Evidence, before: int) -> Iterator[Finding]:
        newest = self._newest(evidence.first_batch_id, before) if evidence.windows else None
        if newest is None:
            return
        start, end = _span(evidence)
        # Who labels at once is seldom who labels later, and to the newest window only the former have come.
        delay = newest - end
        now, usual = (self._sources(*times, delay, before) for times in ((start, end), (start - TIME_BEFORE, start)))
        yield from label_changes(now, usual)

    def _newest(self, first: int, before: int) -> datetime | None:
        """The enqueued time that the stream had come to before a micro-batch."""
        within = f"batch_id >= {first:d} AND batch_id < {before:d}"
        rows = self._tables.read("batches", f"SELECT offsets FROM t WHERE {within} ORDER BY batch_id DESC LIMIT 20")
        return max((time for row in rows for time in partition_clock(row["offsets"]).values()), default=None)

    def _sources(self, start: datetime, end: datetime, delay: timedelta, before: int) -> dict[str, int]:
        """Source -> labels about predictions of a time that came so long after these, or sooner."""
        late = "arrow_cast(enqueued_time, 'Int64') - arrow_cast(prediction_time, 'Int64')"
        asked = (
            "SELECT coalesce(source, '') AS source, count(*) AS n FROM t WHERE kind = 'label' "
            f"AND batch_id < {before:d} AND {_within('prediction_time', start, end)} "
            f"AND {late} <= {delay // timedelta(microseconds=1):d} GROUP BY coalesce(source, '')"
        )
        return {row["source"]: row["n"] for row in self._tables.read("feedback", asked)}


def stream_faults(now: Stream, usual: Stream, hub: str) -> Iterator[Finding]:
    """What is wrong with the stream.

    Args:
        now: the micro-batches of the evidence.
        usual: those before them; with few events in them only what is wrong by itself is told.
        hub: of prediction events.
    """
    lost = sum(not counts_of(row).conserved for row in now.batches)
    if lost:
        yield Finding(FindingKind.UNCONSERVED, "", lost / len(now.batches), len(now.batches), None, 0)
    if now.expired and has_risen(now.expired, now.received + now.expired, 0, now.received + now.expired):
        n = now.received + now.expired
        yield Finding(FindingKind.EXPIRED, "", now.expired / n, n, 0.0, usual.received)
    refused, usually = now.reasons, usual.reasons
    for reason in sorted(refused):
        hits = (refused[reason], now.received), (usually.get(reason, 0), usual.received)
        yield from risen(FindingKind.DEAD_LETTERS, reason, *hits)
    yield from _silent(_heard(now.batches, hub), _heard(usual.batches, hub))


def _silent(now: Sequence[frozenset[str]], usual: Sequence[frozenset[str]]) -> Iterator[Finding]:
    """Partitions of which nothing came, although the micro-batches before make that very unlikely.

    Micro-batches are counted, not events: those of a producer's batch fall into one partition together.
    """
    n, m = len(now), len(usual)
    partitions: frozenset[str] = frozenset().union(*usual)
    for partition in sorted(partitions.difference(*now)) if len(partitions) > 1 else ():
        heard = sum(partition in heard_in for heard_in in usual)
        if chance_of_as_many(n, n, m - heard, m) < FAULT_LEVEL:
            yield Finding(FindingKind.SILENT_PARTITION, partition, 0.0, n, heard / m, m)


def _heard(batches: Iterable[Mapping[str, Any]], hub: str) -> list[frozenset[str]]:
    """The partitions of which something came, for each micro-batch that has any."""
    of_each = (
        frozenset(part["partition"] for part in row["offsets"] if part["hub"] == hub and part["count"])
        for row in batches
    )
    return [heard for heard in of_each if heard]


def label_changes(now: Mapping[str, int], before: Mapping[str, int]) -> Iterator[Finding]:
    """Whether labels come from other sources than before.

    Args:
        now: source -> labels.
        before: likewise.

    Returns:
        the share of the source that grew most. Its name may be a person's and is not told.
    """
    sources = sorted({*now, *before})
    counts = [np.array([where.get(source, 0) for source in sources], dtype=np.int64) for where in (now, before)]
    n, m = (int(count.sum()) for count in counts)
    if not n or not m:
        return
    gained = counts[0] / n - counts[1] / m
    most = int(np.argmax(gained))
    found = moved_shares(counts[0], counts[1])
    if found.distance >= MOVED_SOURCES and has_risen(int(counts[0][most]), n, int(counts[1][most]), m):
        yield Finding(FindingKind.LABEL_SOURCES, "", float(counts[0][most] / n), n, float(counts[1][most] / m), m)


def _span(evidence: Evidence) -> tuple[datetime, datetime]:
    """From the first of its windows, of which there is one, to the end of the last."""
    starts = [start for start, _ in evidence.windows]
    return min(starts), max(start + timedelta(seconds=seconds) for start, seconds in evidence.windows)


def _within(column: str, start: datetime, end: datetime) -> str:
    return f"{column} >= {_sql_time(start)} AND {column} < {_sql_time(end)}"


def _sql_time(moment: datetime) -> str:
    return f"arrow_cast({micros(moment)}, 'Timestamp(Microsecond, Some(\"UTC\"))')"
