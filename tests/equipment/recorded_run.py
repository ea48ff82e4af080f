"""A stream's whole record without Spark: events, the rows they leave, and what the stream's own code decided on them.

Predictions and partials come from the recomputation in plain Python, and decisions from the code of the stream job. In
it are a drift that is confirmed, retrained and resolved, a rise of errors, a loss of accuracy, a false alarm that late
events retract, and a micro-batch whose counts do not add up.
"""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from deltalake import DeltaTable
from equipment.judged_events import LoggedEvent
from equipment.recompute import ExpectedBatch, Recomputation, tally_of

from pegel.alerts.incident import Incident
from pegel.conf.settings import Settings
from pegel.jobs.wiring.decisions import Decisions, Past
from pegel.schemas.grids import CATEGORICAL, NUMERIC, GridColumn, make_grid
from pegel.schemas.partials import ANSWERED, CORRECT, ERRORS, LABELLED, partial_from_row, tally_to_row
from pegel.schemas.tables import STREAM_TABLES
from pegel.streaming.ingest.batch import BatchCounts, IngestedBatch
from pegel.tables.delta import DeltaTables

Row = dict[str, Any]

START = datetime(2026, 11, 25, 3, tzinfo=UTC)
MODEL = "assistant"
GRID = make_grid(
    MODEL,
    [
        GridColumn("amount", NUMERIC, "features.amount", center=100.0, scale=27.0),
        GridColumn("length", NUMERIC, "input_length", center=20.0, scale=10.0),
        GridColumn("output", CATEGORICAL, "output", categories=("card", "transfer")),
    ],
)
POLICY = """
alerts_per_month: 5000
uncalibrated_may_retrain: true
resolve_after_blocks: 5
rules:
  - {name: drift, kind: drift, columns: "*", minimum_effect: 0.2, severity: 2, action: retrain, runbook: drift.md}
  - {name: errors, kind: rate, columns: [error_rate], minimum_effect: 0.2, severity: 1, action: page, runbook: e.md}
  - {name: accuracy, kind: quality, columns: [accuracy], minimum_effect: 0.2, severity: 3, action: page, runbook: a.md}
  - {name: conservation, kind: conservation, severity: 1, action: page, runbook: conservation.md}
"""
BATCHES, PER_BATCH, SECONDS = 70, 65, 3
DRIFT, ERRORS_RISE, FALSE_ALARM, UNCONSERVED = range(20, 30), range(40, 44), 50, 60
LOSS = range(26, 34)
LABELLED_OF_A_BATCH = 12
PROVEN_AT = 36
NEW_CHECKPOINT_AT = 10
PERSON = "u-7"


@dataclass
class Run:
    """A record.

    Attributes:
        root: where its tables lie.
        settings: those that it ran with.
        overrides: the same as arguments of a job.
    """

    root: Path
    settings: Settings
    overrides: list[str] = field(default_factory=list)

    @property
    def tables(self) -> DeltaTables:
        return DeltaTables(str(self.root))


class _Buffered(DeltaTables):
    """Tables whose rows are written once somebody reads them: a commit for each micro-batch takes most of the time."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.rows: dict[str, list[Row]] = defaultdict(list)

    def _newest(self, name: str) -> DeltaTable | None:
        rows = self.rows.pop(name, None)
        if rows:
            self.append(name, rows)
        return super()._newest(name)

    def flush(self) -> None:
        """Write all that waits."""
        for name in list(self.rows):
            self._newest(name)


def settings_of(root: Path, policy: Path) -> tuple[Settings, list[str]]:
    """The settings of a run, and the arguments that give them to a job."""
    values: dict[str, dict[str, Any]] = {
        "storage": {"root": str(root)},
        "ingest": {"segment_attributes": ["country"], "segment_cap": 2},
        "watch": {"block_min_events": 60, "window_seconds": [10, 60], "policy": str(policy)}
        | {"accuracy_window_seconds": 10, "label_completeness": 0.1},
    }
    named = [
        f"{section}.{key}={value if isinstance(value, str) else json.dumps(value)}"
        for section, content in values.items()
        for key, value in content.items()
    ]
    return Settings.model_validate(values), [part for one in named for part in ("--set", one)]


def record(folder: Path) -> Run:
    """Record a run below a folder: its tables and its policy."""
    root, policy = folder / "tables", folder / "policy.yml"
    policy.parent.mkdir(parents=True, exist_ok=True)
    policy.write_text(POLICY, encoding="utf-8")
    settings, overrides = settings_of(root, policy)
    tables = _Buffered(str(root))
    for name in STREAM_TABLES:
        tables.create(name)
    _register(tables, settings)
    rows, retrainings = tables.rows, list[Row]()
    now = [START]
    past = Past(retrainings=lambda unresolved: _proven(unresolved, now[0], retrainings), clock=lambda: now[0])
    decisions = Decisions(tables, settings, past)
    batches = list(_batches())
    recomputation = Recomputation([event for events in batches for event in events], settings)
    recomputation.register(MODEL, "1", GRID)
    for i, events in enumerate(batches):
        now[0] = _time(i) + timedelta(seconds=2)
        batch_id = i if i < NEW_CHECKPOINT_AT else 10**9 + i
        expected = recomputation.batch(batch_id, _offsets(events))
        batch = _ingested(expected, now[0], lost=i == UNCONSERVED)
        for name in ("predictions", "feedback", "dead_letters", "profiles"):
            rows[name] += getattr(expected, name)
        decided = decisions.decide(batch)
        for name in ("blocks", "metrics", "alerts"):
            rows[name] += getattr(decided, name)
        rows["batches"].append(_batch_row(batch))
        if i % 25 == 24:
            # In several files, so that there is something to put together.
            tables.flush()
    tables.append("retrainings", retrainings)
    tables.flush()
    return Run(root, settings, overrides)


def _proven(unresolved: Sequence[Incident], now: datetime, known: list[Row]) -> dict[str, str]:
    """A retraining of the first drift, which is proven at its time."""
    for incident in unresolved:
        if incident.awaits_proof and not known:
            about = {"incident_id": incident.incident_id, "attempt": 1, "model": MODEL}
            known += [about | {"state": "queued", "at": now}, about | {"state": "proven", "at": _time(PROVEN_AT)}]
    return {row["incident_id"]: row["state"] for row in known if row["at"] <= now}


def _time(i: int) -> datetime:
    return START + timedelta(seconds=SECONDS * i)


def _batches() -> Iterator[list[LoggedEvent]]:
    rng, ends = random.Random(7), Counter[tuple[str, str]]()
    for i in range(BATCHES):
        bodies = [("predictions", _prediction(rng, i, n)) for n in range(PER_BATCH)]
        if i == FALSE_ALARM + 1:
            # They belong to the window of the false alarm, and come after it.
            bodies += [("predictions", _prediction(rng, i, 1000 + n, of=FALSE_ALARM)) for n in range(900)]
        if i % 7 == 3:
            bodies += [bodies[0], ("predictions", b"{not json")]
        bodies += [("feedback", _label(rng, i, body)) for _, body in bodies[:LABELLED_OF_A_BATCH]]
        events = []
        for n, (hub, body) in enumerate(bodies):
            partition = str(n % 2)
            enqueued = _time(i) + timedelta(milliseconds=n)
            events.append(LoggedEvent(hub, partition, ends[hub, partition], enqueued, body))
            ends[hub, partition] += 1
        yield events


def _prediction(rng: random.Random, i: int, n: int, of: int | None = None) -> bytes:
    drifted = of is None and (i in DRIFT or i == FALSE_ALARM)
    document: Row = {
        "event_id": f"e{i}-{n}",
        "event_time": (_time(i if of is None else of) - timedelta(seconds=1)).isoformat(),
        "model_name": MODEL,
        "model_version": "canary" if n % 16 == 5 else "1",
        "input": "x" * max(0, round(rng.gauss(20, 7))),
        "output": rng.choice(("card", "transfer", "other")),
        "features": {"amount": rng.gauss(120 if drifted else 100, 20)},
        "segments": {"country": rng.choice(("de", "ch", "at"))},
        "latency_ms": 30.0,
    }
    if n == 0 and i % 3 == 0:
        # One person's events.
        document["trace_id"] = PERSON
    if i in ERRORS_RISE and n % 3 == 0:
        document["error.type"] = "timeout"
    return json.dumps(document).encode()


def _label(rng: random.Random, i: int, body: bytes) -> bytes:
    about = json.loads(body)
    right = rng.random() < (0.3 if i in LOSS else 0.95)
    return json.dumps(
        {
            "feedback_id": f"f-{about['event_id']}",
            "event_id": about["event_id"],
            "prediction_time": about["event_time"],
            "feedback_time": about["event_time"],
            "label": about["output"] if right else "none of these",
        }
    ).encode()


def _register(tables: DeltaTables, settings: Settings) -> None:
    rng = random.Random(3)
    rows = [
        {
            "input": "x" * max(0, round(rng.gauss(20, 7))),
            "output": rng.choice(("card", "transfer", "other")),
            "features": {"amount": str(rng.gauss(100, 20))},
            "error_type": None,
            "input_tokens": None,
            "output_tokens": None,
        }
        for _ in range(4000)
    ]
    tally = tally_of(rows, GRID, settings.ingest.max_category_names)
    tally.counts.update({ANSWERED: 3960, ERRORS: 40, LABELLED: 4000, CORRECT: 3800})
    columns = [asdict(column) for column in GRID.columns]
    tables.append("grids", [{"grid": GRID.grid, "model": MODEL, "created_at": START, "columns": columns}])
    named = {"baseline_id": "b1", "model": MODEL, "version": "1", "grid": GRID.grid, "source": "a test"}
    tables.append("baselines", [named | {"created_at": START} | tally_to_row(tally)])


def _offsets(events: Sequence[LoggedEvent]) -> list[Row]:
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for event in events:
        places[event.hub, event.partition].append(event.offset)
    return [
        {"hub": hub, "partition": partition, "first": min(found), "last": max(found)}
        for (hub, partition), found in places.items()
    ]


def _ingested(expected: ExpectedBatch, now: datetime, *, lost: bool) -> IngestedBatch:
    counts = {name: expected.counts[name] for name in asdict(BatchCounts())}
    counts["received"] += int(lost)
    return IngestedBatch(
        "query",
        expected.batch_id,
        expected.offsets,
        (),
        [partial_from_row(row) for row in expected.profiles],
        BatchCounts(**counts),
        max(row["event_time"] for row in expected.predictions),
        max(row["last_enqueued"] for row in expected.offsets),
        now - timedelta(seconds=1),
        now,
        replayed=False,
    )


def _batch_row(batch: IngestedBatch) -> Row:
    marks = {"query_id": "query", "batch_id": batch.batch_id, "generation": batch.batch_id // 10**9}
    times = {"started_at": batch.started_at, "committed_at": batch.stored_at + timedelta(milliseconds=200)}
    return marks | times | asdict(batch.counts) | {"offsets": list(batch.offsets)}
