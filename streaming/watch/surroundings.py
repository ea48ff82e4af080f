"""What the stream itself went through around an incident: refused, expired and silent, and who gave labels. Edge.

Read from ``batches``, ``gaps``, ``dead_letters`` and ``feedback``, rows with a lower ``batch_id`` only, so that a
replay finds the same. None of it belongs to one model: a fault of the stream is everybody's.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from pegel.schemas.diagnosis import Finding, FindingKind, Symptoms
from pegel.schemas.verdicts import Evidence
from pegel.streaming.statistics.column_symptoms import FAULT_LEVEL, has_risen, risen
from pegel.streaming.statistics.mix_shift import moved_shares
from pegel.streaming.statistics.support import chance_of_as_many
from pegel.streaming.watch.state import micros
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
        batches: of ``batches``.
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
        now = self._stream(first, before)
        usual = self._stream(max(first - BATCHES_BEFORE, first - first % 10**9), first)
        labels = tuple(self._labels(evidence, before)) if symptoms.realised is not None else ()
        found = stream_faults(now, usual, self._hub)
        return replace(symptoms, faults=(*found, *symptoms.faults), labels=labels)

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
            self._tables.read("batches", f"SELECT * FROM t WHERE {within}"),
            reasons,
            sum(gap["last_offset"] - gap["first_offset"] + 1 for gap in lost),
        )

    def _labels(self, evidence: Evidence, before: int) -> Iterator[Finding]:
        start = min((start for start, _ in evidence.windows), default=None)
        if start is None:
            return
        end = max(start + timedelta(seconds=seconds) for start, seconds in evidence.windows)
        yield from label_changes(self._sources(start, end, before), self._sources(start - TIME_BEFORE, start, before))

    def _sources(self, start: datetime, end: datetime, before: int) -> dict[str, int]:
        """Source -> labels about predictions of a time."""
        asked = (
            "SELECT coalesce(source, '') AS source, count(*) AS n FROM t WHERE kind = 'label' "
            f"AND batch_id < {before:d} AND prediction_time >= {_sql_time(start)} "
            f"AND prediction_time < {_sql_time(end)} GROUP BY coalesce(source, '')"
        )
        return {row["source"]: row["n"] for row in self._tables.read("feedback", asked)}


def stream_faults(now: Stream, usual: Stream, hub: str) -> Iterator[Finding]:
    """What is wrong with the stream.

    Args:
        now: the micro-batches of the evidence.
        usual: those before them; with few events in them only what is wrong by itself is told.
        hub: of prediction events.
    """
    lost = sum(not _is_conserved(row) for row in now.batches)
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


def _is_conserved(row: Mapping[str, Any]) -> bool:
    kept = row["received"] == row["stored"] + row["dead_letters"] + row["duplicates"]
    return bool(kept and row["stored"] == row["in_partials"])


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


def _sql_time(moment: datetime) -> str:
    return f"arrow_cast({micros(moment)}, 'Timestamp(Microsecond, Some(\"UTC\"))')"
