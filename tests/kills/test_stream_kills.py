"""The stream as a process that dies by SIGKILL, again and again: afterwards every table is as if it never had died."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient
from equipment.ingested_tables import STORED, differences
from equipment.judged_events import LoggedEvent
from equipment.recompute import tally_of
from equipment.seeded_events import FEEDBACK, seeded_events

from pegel.conf.loading import load_settings
from pegel.jobs.wiring.watching import build_watcher
from pegel.local.eventhubs import EventHubsServer, serve_in_thread
from pegel.schemas.grids import CATEGORICAL, NUMERIC, GridColumn, make_grid
from pegel.schemas.partials import tally_to_row
from pegel.schemas.tables import STREAM_TABLES, TABLES
from pegel.streaming.watch.history import History
from pegel.streaming.watch.rebuild import Rebuild
from pegel.tables.delta import DeltaTables

pytestmark = [pytest.mark.kills, pytest.mark.timeout(1800)]

SEED = 20261125
KILLS = 10
PER_CYCLE = 75
PATIENCE_SECONDS = 480.0
STANDBY = Path(__file__).with_name("standby.py")
# What the process has just written when it is killed; None means soon after it was started, whatever it does then.
MOMENTS = ("predictions", "profiles", "batches", "dead_letters", None)
GRID = make_grid(
    "assistant",
    [
        GridColumn("length", NUMERIC, "input_length", center=60.0, scale=35.0),
        GridColumn("amount", NUMERIC, "features.amount", center=100.0, scale=40.0),
        GridColumn("output", CATEGORICAL, "output", categories=("transfer", "card")),
    ],
)


@pytest.fixture
def hubs(tmp_path):
    with serve_in_thread(EventHubsServer({"predictions": 2, "feedback": 1}, tmp_path / "hubs")) as server:
        yield server


@pytest.fixture
def config(tmp_path, hubs):
    secret = tmp_path / "connection_string"
    secret.write_text(hubs.connection_string)
    sections = {
        "storage": {"root": str(tmp_path / "tables")},
        "source": {"max_events_per_trigger": 2 * PER_CYCLE, "eventhubs": {"connection_string": {"file": str(secret)}}},
        "ingest": {"trigger_seconds": 0.2, "segment_attributes": ["country"], "segment_cap": 3},
        "watch": {"block_min_events": 20, "window_seconds": [10, 60]},
        # A process that lives for seconds is not worth compiling for: neither the JVM's code nor Spark's plans.
        "spark": {
            "spark.driver.memory": "1g",
            "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m",
            "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
            "spark.sql.shuffle.partitions": "1",
            "spark.databricks.delta.snapshotPartitions": "1",
        },
    }
    path = tmp_path / "kills.yml"
    path.write_text(yaml.safe_dump(sections))
    return path


@pytest.fixture
def tables(config):
    """The tables, with a baseline of version 1, so that blocks are judged."""
    tables = DeltaTables(load_settings(str(config), environ={}).storage.root)
    now = datetime.now(UTC)
    columns = [
        {name: getattr(column, name) for name in GridColumn.__slots__} | {"categories": list(column.categories)}
        for column in GRID.columns
    ]
    tables.append("grids", [{"grid": GRID.grid, "model": GRID.model, "created_at": now, "columns": columns}])
    rows = [
        {
            "error_type": None, "input_tokens": 1, "output_tokens": 1, "input": "x" * (i % 120),
            "features": {"amount": str(i % 200)}, "output": ("transfer", "card", "limit")[i % 3],
        }
        for i in range(600)
    ]  # fmt: skip
    counted = tally_to_row(tally_of(rows, GRID, 500))
    baseline = {"baseline_id": "b1", "version": "1", "created_at": now, "source": "a test"}
    tables.append("baselines", [{**baseline, "model": GRID.model, "grid": GRID.grid, **counted}])
    return tables


@pytest.fixture
def send(hubs):
    """Send the next so many seeded events, partition by partition."""
    rng = random.Random(SEED)
    events = seeded_events(SEED, datetime.now(UTC), 10_000)

    def to_the_hubs(count):
        by_partition: dict[tuple[str, str], list[bytes]] = {}
        for _ in range(count):
            event = next(events)
            hub = "feedback" if event.hub == FEEDBACK else "predictions"
            partition = "0" if hub == "feedback" else str(rng.randrange(2))
            by_partition.setdefault((hub, partition), []).append(event.body)
        for (hub, partition), bodies in by_partition.items():
            client = EventHubProducerClient.from_connection_string(hubs.connection_string, eventhub_name=hub)
            with client:
                client.send_batch([EventData(body) for body in bodies], partition_id=partition)

    return to_the_hubs


@pytest.fixture
def ready(config, tmp_path):
    """Start ``pegel stream`` in a process group of its own, up to the point where it may begin."""
    log = (tmp_path / "stream.log").open("wb")
    started = []

    def run(*more):
        command = [sys.executable, str(STANDBY), "--config", str(config), *more]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)
        started.append(process)
        return process

    yield run
    for process in started:
        kill(process)
    log.close()


def begin(process):
    process.stdin.write(b"\n")
    process.stdin.close()


def kill(process):
    """SIGKILL to the process and its JVM at once."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def commits(tables, name):
    log = Path(tables.uri(name)) / "_delta_log"
    return sum(entry.suffix == ".json" for entry in log.iterdir()) if log.is_dir() else 0


def wait_for_commit(tables, name, process, since):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while commits(tables, name) <= since:
        if process.poll() is not None:
            pytest.fail(f"the stream ended by itself with {process.returncode}")
        if time.monotonic() > deadline:
            pytest.fail(f"the stream did not write {name!r} within {PATIENCE_SECONDS:.0f} s")
        time.sleep(0.005)


def is_half_written(tables):
    """Whether a table holds rows of a micro-batch that has no commit mark."""
    highest = "SELECT coalesce(max(batch_id), -1) AS n FROM t"
    last = {name: max((row["n"] for row in tables.read(name, highest)), default=-1) for name in (*STORED, "batches")}
    return max(last.values()) > last["batches"]


def in_the_hubs(connection_string):
    """Every event that the hubs hold, read by the SDK."""
    found = []
    for hub in ("predictions", "feedback"):
        consumer = EventHubConsumerClient.from_connection_string(connection_string, "$Default", eventhub_name=hub)
        ends = {p: consumer.get_partition_properties(p) for p in consumer.get_partition_ids()}
        wanted = sum(end["last_enqueued_sequence_number"] + 1 for end in ends.values())
        events, complete = [], threading.Event()

        def take(context, batch, hub=hub, events=events, wanted=wanted, complete=complete):
            for event in batch:
                place = hub, context.partition_id, event.sequence_number
                events.append(LoggedEvent(*place, event.enqueued_time, b"".join(event.body)))
            if len(events) >= wanted:
                complete.set()

        options = {"on_event_batch": take, "starting_position": "-1"}
        receiving = threading.Thread(target=consumer.receive_batch, kwargs=options, daemon=True)
        receiving.start()
        assert complete.wait(60)
        consumer.close()
        receiving.join(30)
        found += events
    return found


def rows_of(tables, name):
    return sorted(map(repr, tables.read(name)))


def test_ten_sigkills_in_a_row_leave_every_table_as_if_there_had_been_none(tables, send, ready, hubs, config, tmp_path):
    rng = random.Random(SEED)
    moments = [*MOMENTS, *rng.choices(MOMENTS, k=KILLS - len(MOMENTS))]
    rng.shuffle(moments)
    half_written = 0
    following = ready()
    for killed, moment in enumerate(moments, 1):
        send(PER_CYCLE)
        since = commits(tables, moment) if moment else 0
        process = following
        begin(process)
        following = ready(*(("--available-now",) if killed == KILLS else ()))
        if moment:
            # The tables are created in commits of their own.
            wait_for_commit(tables, moment, process, max(since, 1))
        time.sleep(rng.uniform(0, 0.3) if moment else rng.uniform(1, 8))
        kill(process)
        half_written += is_half_written(tables)
    assert half_written > 0
    begin(following)
    assert following.wait(PATIENCE_SECONDS) == 0

    events = in_the_hubs(hubs.connection_string)
    settings = load_settings(str(config), environ={})
    batches = tables.read("batches")
    assert sum(o["count"] for row in batches for o in row["offsets"]) == len(events) == KILLS * PER_CYCLE
    assert differences(tables, events, settings, {("assistant", "1"): GRID}) == []

    out = DeltaTables(str(tmp_path / "once_more"))
    rebuild = Rebuild(History(tables), build_watcher(settings, tables), out)
    while rebuild.step():
        pass
    for name in ("blocks", "metrics"):
        assert rows_of(tables, name) == rows_of(out, name)
        assert tables.read(name)
    for name in STREAM_TABLES:
        keys = Counter(tuple(row[column] for column in TABLES[name].key) for row in tables.read(name))
        assert [key for key, n in keys.items() if n > 1] == []
