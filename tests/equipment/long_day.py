"""The rows that a long day of micro-batches leaves in the stream's tables.

Some minutes are recounted and watched for real, and then come again and again, each time later. What repeats keeps
every law of ``pegel verify``: times move by whole minutes, ids and offsets go on.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from equipment.judged_events import LoggedEvent
from equipment.recompute import ExpectedBatch, Recomputation
from equipment.recomputed_tables import GRID, SETTINGS, write_grid

from pegel.schemas.partials import partial_from_row, tally_to_row, total
from pegel.schemas.tables import TABLES
from pegel.streaming.ingest.batch import BatchCounts
from pegel.streaming.watch.references import BaselineCatalog
from pegel.streaming.watch.watcher import Watcher, partition_clock
from pegel.tables.delta import DeltaTables

START = datetime(2026, 11, 25, tzinfo=UTC)
SECONDS = 3
"""From micro-batch to micro-batch."""
CYCLE = 100
"""So many micro-batches are told apart: five minutes."""
QUERY = "a-long-day"
WRITTEN = ("predictions", "feedback", "dead_letters", "profiles", "batches", "blocks", "metrics")

_WORDS = (
    *("the", "gauge", "of", "a", "river", "rings", "when", "water", "passes", "its", "mark", "at", "night"),
    *("and", "nobody", "has", "asked", "why", "yet"),
)
_LABELS = ("transfer", "card", "größe")
_STEP = timedelta(seconds=SECONDS * CYCLE)
_PARTITIONS = 4

Row = dict[str, Any]


class LongDay:
    """The rows of one cycle after the other.

    Args:
        tables: where the grid and the baseline are registered.
        events: how many predictions a micro-batch has; there are a fifth as many labels.
        batches: how many micro-batches a cycle has; as many as :data:`CYCLE` if it is to be repeated.
        seed: decides everything.
    """

    def __init__(self, tables: DeltaTables, events: int, batches: int = CYCLE, seed: int = 7) -> None:
        write_grid(tables)
        logged = _logged(random.Random(seed), events, batches)
        self._counts = Counter((event.hub, event.partition) for of_batch in logged for event in of_batch)
        told = _recounted(logged)
        first = [partial_from_row(row) for row in told[0].profiles if row["kind"] == "live" and row["segment"] == "*"]
        named = {"baseline_id": "b", "model": GRID.model, "version": "1", "grid": GRID.grid, "source": "a test"}
        counted = tally_to_row(total(partial.tally for partial in first))
        tables.append("baselines", [named | {"created_at": START} | counted])
        rows = {name: [r for one in told for r in getattr(one, name)] for name in WRITTEN[:4]}
        rows["dead_letters"] = [row | {"detail": "said in words"} for row in rows["dead_letters"]]
        rows["batches"] = [_mark(one) for one in told]
        rows["blocks"], rows["metrics"] = _watched(tables, told)
        self.batches = batches
        self._first = {name: _table(name, found) for name, found in rows.items()}
        self._blocks = Counter((row["model"], row["version"], row["segment"]) for row in rows["blocks"])

    @property
    def rows_of_cycle(self) -> dict[str, int]:
        """Table -> rows in one cycle."""
        return {name: rows.num_rows for name, rows in self._first.items()}

    def cycle(self, name: str, number: int) -> pa.Table:
        """The rows of a table in one cycle, in order of the micro-batches."""
        rows = self._first[name]
        for column in TABLES[name].columns:
            if column.type == "timestamp":
                moved = pc.add(rows[column.name], pa.scalar(number * _STEP, pa.duration("us")))
                rows = _with(rows, column.name, moved)
        for counted in ("batch_id", "first_batch_id", "last_batch_id", "revision"):
            if counted in rows.column_names:
                rows = _with(rows, counted, pc.add(rows[counted], number * CYCLE))
        if name in {"predictions", "feedback"}:
            for key in {"event_id", "feedback_id"} & set(rows.column_names):
                rows = _with(rows, key, pc.binary_join_element_wise(rows[key], str(number), "-"))
        if "offset" in rows.column_names:
            keys = zip(rows["hub"].to_pylist(), rows["partition"].to_pylist(), strict=True)
            by_row = pa.array([number * self._counts[key] for key in keys], pa.int64())
            rows = _with(rows, "offset", pc.add(rows["offset"], by_row))
        if name == "batches":
            offsets = [[self._later(one, number) for one in found] for found in rows["offsets"].to_pylist()]
            rows = _with(rows, "offsets", pa.array(offsets, rows.schema.field("offsets").type))
        if name == "blocks":
            rows = self._later_blocks(rows, number)
        return rows

    def micro_batches(self, name: str, number: int) -> Iterator[tuple[int, pa.Table]]:
        """The same, micro-batch by micro-batch, those without a row left out."""
        rows = self.cycle(name, number)
        ids = rows["batch_id"].to_numpy()
        for batch_id in np.unique(ids):
            first, last = np.searchsorted(ids, [batch_id, batch_id + 1])
            yield int(batch_id), rows.slice(first, last - first)

    def _later(self, one: Row, number: int) -> Row:
        further = number * self._counts[one["hub"], one["partition"]]
        first, last = one["first"] + further, one["last"] + further
        return one | {"first": first, "last": last, "last_enqueued": one["last_enqueued"] + number * _STEP}

    def _later_blocks(self, rows: pa.Table, number: int) -> pa.Table:
        keys = zip(*(rows[name].to_pylist() for name in ("model", "version", "segment")), strict=True)
        nos = pa.array([number * self._blocks[key] for key in keys], pa.int64())
        states = [_later_state(text, number) for text in rows["state"].to_pylist()]
        rows = _with(rows, "block_no", pc.add(rows["block_no"], nos))
        return _with(rows, "state", pa.array(states, pa.string()))


def _logged(rng: random.Random, events: int, batches: int) -> list[list[LoggedEvent]]:
    """What the hubs hold, by the micro-batch that reads it."""
    ends: Counter[tuple[str, str]] = Counter()
    asked: list[Row] = []
    logged: list[list[LoggedEvent]] = []
    for batch in range(batches):
        now = START + timedelta(seconds=SECONDS * batch)
        new = [_prediction(rng, now, batch * events + i) for i in range(events)]
        labels = [_label(rng, now, one) for one in rng.sample(asked[-20 * events :], k=min(len(asked), events // 5))]
        asked += new
        bodies = [("predictions", json.dumps(one).encode()) for one in new]
        bodies += [("feedback", json.dumps(one).encode()) for one in labels]
        if batch % 10 == 9:
            bodies += [("predictions", bodies[0][1]), ("predictions", bodies[0][1][:-5])]
        found = []
        for hub, body in bodies:
            partition = str(rng.randrange(_PARTITIONS))
            # Within the three seconds before, so that the first of a cycle belongs to the cycle, too.
            enqueued = now + timedelta(seconds=rng.uniform(0.1, SECONDS))
            found.append(LoggedEvent(hub, partition, ends[hub, partition], enqueued, body))
            ends[hub, partition] += 1
        logged.append(found)
    return logged


def _prediction(rng: random.Random, now: datetime, number: int) -> Row:
    label = rng.choice(_LABELS)
    return {
        "event_id": f"{rng.getrandbits(64):016x}{number:08x}",
        "event_time": (now + timedelta(seconds=rng.uniform(0, 0.1))).isoformat(),
        "model_name": GRID.model,
        "model_version": "1",
        "input": " ".join(rng.choices(_WORDS, k=60)) + f" {rng.getrandbits(64):x}",
        "output": label,
        "probabilities": {label: round(rng.random(), 6), "none": round(rng.random(), 6)},
        "features": {"amount": round(rng.gauss(100, 30), 2), "channel": rng.choice(("web", "app"))},
        "segments": {"country": rng.choice(("de", "ch", "at")), "tier": rng.choice(("a", "b"))},
        "latency_ms": round(rng.lognormvariate(5, 1), 3),
        "trace_id": f"{rng.getrandbits(128):032x}",
        "gen_ai.usage.input_tokens": rng.randint(0, 4000),
        "gen_ai.usage.output_tokens": rng.randint(0, 400),
    }


def _label(rng: random.Random, now: datetime, prediction: Row) -> Row:
    return {
        "feedback_id": f"{rng.getrandbits(96):024x}",
        "event_id": prediction["event_id"],
        "prediction_time": prediction["event_time"],
        "feedback_time": now.isoformat(),
        "kind": "label",
        "label": prediction["output"] if rng.random() < 0.8 else rng.choice(_LABELS),
        "source": "agent",
    }


def _recounted(logged: Sequence[Sequence[LoggedEvent]]) -> list[ExpectedBatch]:
    recomputation = Recomputation((event for found in logged for event in found), SETTINGS)
    recomputation.register(GRID.model, "1", GRID)
    told = []
    for batch_id, found in enumerate(logged):
        places: dict[tuple[str, str], list[int]] = {}
        for event in found:
            places.setdefault((event.hub, event.partition), []).append(event.offset)
        offsets = [
            {"hub": hub, "partition": partition, "first": min(some), "last": max(some)}
            for (hub, partition), some in places.items()
        ]
        told.append(recomputation.batch(batch_id, offsets))
    return told


def _mark(one: ExpectedBatch) -> Row:
    now = START + timedelta(seconds=SECONDS * (one.batch_id + 1))
    marks = {"query_id": QUERY, "batch_id": one.batch_id, "generation": 0, "offsets": one.offsets}
    marks |= {"started_at": now, "committed_at": now, "code_version": "0.1.0"}
    return marks | {name: one.counts[name] for name in asdict(BatchCounts())}


def _watched(tables: DeltaTables, told: Sequence[ExpectedBatch]) -> tuple[list[Row], list[Row]]:
    watcher = Watcher(SETTINGS.watch, BaselineCatalog(tables))
    blocks, metrics = [], []
    for one in told:
        partials = [partial_from_row(row) for row in one.profiles]
        output = watcher.advance(one.batch_id, partials, partition_clock(one.offsets))
        blocks += output.block_rows
        metrics += output.metric_rows
    return blocks, metrics


def _later_state(text: str, number: int) -> str:
    """What a row of ``blocks`` says for a restart, so much later."""
    later = round(number * _STEP.total_seconds()) * 1_000_000
    state = json.loads(text)
    state["windows"] = [[start + later, seconds] for start, seconds in state["windows"]]
    if "stream" in state:
        stream = state["stream"]
        stream["clock"] = [[hub, partition, at + later] for hub, partition, at in stream["clock"]]
        stream["watermark"] = None if stream["watermark"] is None else stream["watermark"] + later
        stream["open_windows"] = [[start + later, seconds] for start, seconds in stream["open_windows"]]
        stream["open_since"] = None if stream["open_since"] is None else stream["open_since"] + number * CYCLE
    return json.dumps(state, separators=(",", ":"))


def _table(name: str, rows: Sequence[Row]) -> pa.Table:
    schema = TABLES[name].arrow_schema
    complete = [{column: row.get(column) for column in schema.names} for row in rows]
    return pa.Table.from_pylist(complete, schema=schema).sort_by("batch_id")


def _with(rows: pa.Table, name: str, values: Any) -> pa.Table:
    i = rows.schema.get_field_index(name)
    field = rows.schema.field(i)
    return rows.set_column(i, field, values.cast(field.type))
