"""Reads after a day of micro-batches and ``pegel maintain``, against the same rows written at once.

No Spark: every table of the stream gets its commits through ``deltalake``, one for each micro-batch that has rows for
it, back to back, and is kept as the stream keeps it meanwhile. The log's entries are dated as if three seconds had lain
between two micro-batches, since their age decides which may go. Then half of the day is taken as older than the replay
retention, so that its partials are added up, and everything is kept once more. The reads are those of the look-up of
copies and labels, of a restart of the watch, of a late window, of a rebuild, of the dashboard, and of ``pegel verify``.
"""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from equipment.day_writer import DayWriter
from equipment.long_day import CYCLE, QUERY, SECONDS, START, WRITTEN, LongDay
from equipment.recomputed_tables import SETTINGS

from pegel.conf.settings import Settings
from pegel.dashboard.reading import TableReader
from pegel.jobs.wiring.watching import build_watcher
from pegel.schemas.tables import TABLES
from pegel.streaming.ingest.labels import LABEL_COLUMNS, PREDICTION_COLUMNS
from pegel.streaming.ingest.stored import stored_before
from pegel.streaming.verify.verification import Verification
from pegel.streaming.watch.history import History
from pegel.streaming.watch.retention import mergeable_up_to
from pegel.tables.delta import COMPACT_BYTES, DeltaTables
from pegel.tables.maintenance import COMMITS_BETWEEN, Maintenance
from pegel.tables.merging import MERGED_BY, MergingTables, merged_up_to

EVENTS_PER_COMMIT = 10
"""Predictions of a micro-batch; a fifth as many labels come with them."""
ROUNDS, VERIFY_ROUNDS = 7, 1
OPENING = "opening all tables"
FULL_RATE = 1000
SAMPLE_BATCHES = 20
"""One minute at the full rate."""
PER_DAY = 86_400 // SECONDS

Read = Callable[[DeltaTables], object]


def run(events: int) -> dict[str, Any]:
    """Measure every read in turn on both.

    Args:
        events: how many predictions; 288,000 give the 28,800 micro-batches of a day.

    Returns:
        ``ours`` and ``other`` in milliseconds: the read with the worst ratio, after the day and on fresh tables;
        ``reads`` has all of them, ``gigabytes_a_day`` what a day of 1,000 events a second leaves.
    """
    cycles = max(2, events // (EVENTS_PER_COMMIT * CYCLE))
    with tempfile.TemporaryDirectory() as folder:
        aged, fresh = MergingTables(f"{folder}/aged"), MergingTables(f"{folder}/fresh")
        day = LongDay(aged, EVENTS_PER_COMMIT)
        for name in ("grids", "baselines"):
            fresh.append(name, aged.read(name))
        written = _write_day(day, aged, cycles)
        kept = _maintain(aged, cycles)
        _write_at_once(day, aged, fresh, cycles)
        reads = _measure(aged, fresh, cycles)
        disk = {name: _megabytes(Path(aged.uri(name))) for name in WRITTEN}
    # A process opens a table once and reads it for hours.
    opening = reads.pop(OPENING)
    worst = max(reads, key=lambda name: reads[name]["ratio"])
    return {
        "ours": reads[worst]["aged_ms"],
        "other": reads[worst]["fresh_ms"],
        "ratio": reads[worst]["ratio"],
        "unit": f"ms, {worst}",
        "micro_batches": cycles * CYCLE,
        "events": cycles * CYCLE * EVENTS_PER_COMMIT,
        **written,
        **kept,
        "reads": reads,
        "opening": opening,
        "megabytes_on_disk": disk,
        "gigabytes_a_day": _bytes_of_full_rate(),
    }


def _write_day(day: LongDay, aged: Maintenance, cycles: int) -> dict[str, Any]:
    """Each table is written by a thread of its own."""
    begun = time.perf_counter()
    writers = {name: DayWriter(day, aged.root, name) for name in WRITTEN}
    threads = [threading.Thread(target=writer.write, args=(cycles,)) for writer in writers.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for writer in writers.values():
        if writer.failure is not None:
            raise writer.failure
    some = max(1, min(COMMITS_BETWEEN, cycles * CYCLE) // 10)
    appends = writers["batches"].appends
    return {
        "commits": sum(len(writer.appends) for writer in writers.values()),
        "write_seconds": round(time.perf_counter() - begun, 1),
        "append_ms_first": _milliseconds(appends[:some]),
        "append_ms_before_keeping": _milliseconds(appends[:COMMITS_BETWEEN][-some:]),
        "append_ms_last": _milliseconds(appends[-some:]),
        "keep_seconds_worst": round(max((s for one in writers.values() for s in one.keeping), default=0.0), 2),
    }


def _maintain(aged: MergingTables, cycles: int) -> dict[str, Any]:
    """As the job does it, but that half of the day is older than the replay retention."""
    begun = time.perf_counter()
    merged = aged.merge(mergeable_up_to(aged, timedelta(seconds=SECONDS * CYCLE * cycles / 2)))
    between = time.perf_counter()
    tables = Maintenance(aged.root)
    files = {name: tables.keep(name).files_after for name in WRITTEN}
    return {
        "partials": merged.rows_before,
        "minutes": merged.rows_after,
        "merge_seconds": round(between - begun, 1),
        "maintain_seconds": round(time.perf_counter() - begun, 1),
        "files_after": files,
    }


def _write_at_once(day: LongDay, aged: MergingTables, fresh: MergingTables, cycles: int) -> None:
    for name in WRITTEN:
        fresh.create(name)
        if name == "profiles":
            rows = aged.read_arrow(name, "SELECT * FROM t ORDER BY batch_id").cast(TABLES[name].arrow_schema)
            source = pa.RecordBatchReader.from_batches(rows.schema, rows.to_batches())
        else:
            source = pa.RecordBatchReader.from_batches(TABLES[name].arrow_schema, _day_of(day, name, cycles))
        marks = [Transaction(f"{QUERY}/{name}", cycles * CYCLE - 1)]
        if name == "profiles":
            marks.append(Transaction(MERGED_BY, merged_up_to(aged)))
        properties = CommitProperties(app_transactions=marks)
        write_deltalake(
            fresh.uri(name), source, mode="append", target_file_size=COMPACT_BYTES, commit_properties=properties
        )


def _day_of(day: LongDay, name: str, cycles: int) -> Iterator[pa.RecordBatch]:
    for number in range(cycles):
        yield from day.cycle(name, number).combine_chunks().to_batches()


def _measure(aged: MergingTables, fresh: MergingTables, cycles: int) -> dict[str, dict[str, float]]:
    found = {}
    for name, read in _reads(aged, cycles).items():
        rounds = VERIFY_ROUNDS if name == "verify" else ROUNDS
        # Tables that are open, as those of a process that runs.
        both = DeltaTables(aged.root), DeltaTables(fresh.root)
        taken = [(_taken(read, both[0]), _taken(read, both[1])) for _ in range(rounds + 1)]
        # The first round opens the tables.
        (ours, ours_cpu), (other, other_cpu) = (
            [statistics.median(one[i][j] for one in taken[1:]) for j in (0, 1)] for i in (0, 1)
        )
        found[name] = {
            "aged_ms": round(1000 * ours, 2),
            "fresh_ms": round(1000 * other, 2),
            "ratio": round(ours / other, 3),
            "cpu_ratio": round(ours_cpu / other_cpu, 3),
        }
    return found


def _taken(read: Read, tables: DeltaTables) -> tuple[float, float]:
    """Seconds on the clock and of the processor; the latter tell more on a machine that others use."""
    begun, worked = time.perf_counter(), time.process_time()
    read(tables)
    return time.perf_counter() - begun, time.process_time() - worked


def _reads(aged: DeltaTables, cycles: int) -> dict[str, Read]:
    newest = cycles * CYCLE - 1
    settings = SETTINGS.model_copy(update={"storage": SETTINGS.storage.model_copy(update={"root": "unused"})})
    end = START + timedelta(seconds=SECONDS * (newest + 1))
    last = _events_of(aged, newest)
    # As long ago as the day goes: a producer that sends yesterday's events once more.
    first = _events_of(aged, CYCLE // 2)
    old, young = START + (end - START) / 4, START + 3 * (end - START) / 4
    old, young = (_full_minute(moment) for moment in (old, young))
    return {
        "copies of the last seconds": lambda tables: _copies(tables, newest + 1, last),
        "copies of the first minutes": lambda tables: _copies(tables, newest + 1, first),
        "labels of the last seconds": lambda tables: _labels(tables, newest + 1, last),
        "segments and waiting labels at a start": _start_of_ingest,
        "restart of the watch": lambda tables: _restart(settings, tables, newest + 1),
        "window of a late event": lambda tables: History(tables).partials(young, young + timedelta(minutes=1), 2**62),
        "hour of a late label": lambda tables: History(tables).partials(old, old + timedelta(hours=1), 2**62),
        "micro-batches to watch again": lambda tables: History(tables).batches(newest - 200, newest),
        "dashboard": lambda tables: TableReader(tables, settings).snapshot(end),
        OPENING: _open_all,
        "verify": lambda tables: _verify(settings, tables),
    }


def _full_minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _events_of(tables: DeltaTables, batch_id: int) -> pa.Table:
    return tables.read_arrow("predictions", f"SELECT event_id, event_time FROM t WHERE batch_id = {batch_id}")


def _copies(tables: DeltaTables, batch_id: int, keys: pa.Table) -> None:
    wanted = {"event_id": _texts(keys["event_id"]), "event_time": keys["event_time"]}
    found = stored_before(tables, "predictions", batch_id, PREDICTION_COLUMNS, wanted)
    _expect(found.num_rows == keys.num_rows, "every event is found")


def _labels(tables: DeltaTables, batch_id: int, keys: pa.Table) -> None:
    wanted = {"event_id": _texts(keys["event_id"]), "prediction_time": keys["event_time"]}
    stored_before(tables, "feedback", batch_id, LABEL_COLUMNS, wanted)


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string())


def _start_of_ingest(tables: DeltaTables) -> None:
    tables.read("profiles", "SELECT DISTINCT segment FROM t WHERE batch_id < 1000000000")
    tables.read("batches", "SELECT coalesce(sum(unmatched) - sum(joined_later), 0) AS n FROM t")


def _restart(settings: Settings, tables: DeltaTables, batch_id: int) -> None:
    History(tables).restore(build_watcher(settings, tables), batch_id)


def _open_all(tables: DeltaTables) -> None:
    opened = DeltaTables(tables.root)
    _expect(all(opened.version(name) >= 0 for name in WRITTEN), "every table is there")


def _verify(settings: Settings, tables: DeltaTables) -> None:
    report = Verification(tables, settings, {}).run()
    _expect(report.holds, "every law holds")


def _expect(holds: bool, what: str) -> None:
    if not holds:
        msg = f"the tables are not what was measured for: {what}"
        raise RuntimeError(msg)


def _bytes_of_full_rate() -> dict[str, Any]:
    """What each table takes for a day of the full rate once it is kept, from one minute of it."""
    with tempfile.TemporaryDirectory() as folder:
        tables = MergingTables(folder)
        day = LongDay(tables, FULL_RATE * SECONDS, SAMPLE_BATCHES)
        for name in WRITTEN:
            for batch_id, rows in day.micro_batches(name, 0):
                tables.append_arrow(name, rows, (QUERY, batch_id))
            Maintenance(folder).keep(name)
        per_day = {name: _gigabytes_a_day(tables, name) for name in WRITTEN}
        tables.merge(SAMPLE_BATCHES)
        minutes = _gigabytes_a_day(tables, "profiles")
    return {**per_day, "all": round(sum(per_day.values()), 2), "profiles_after_retention": minutes}


def _gigabytes_a_day(tables: DeltaTables, name: str) -> float:
    files = pa.table(DeltaTable(tables.uri(name)).get_add_actions(flatten=True))
    return round(sum(files["size_bytes"].to_pylist()) * PER_DAY / SAMPLE_BATCHES / 1e9, 3)


def _megabytes(folder: Path) -> float:
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6, 1)


def _milliseconds(seconds: list[float]) -> float:
    return round(1000 * statistics.median(seconds), 2)
