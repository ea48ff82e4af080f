"""``pegel stream`` whose Spark session is up before it may begin: what a process that takes over has done already.

It begins when a line comes on its standard input, so that the next process can start while the last one still runs.
The line may name a fault point: then SIGKILL comes to it and its JVM, by its own hand, the first time it gets there.
It writes down how long it took from its start to its first committed micro-batch, without the time it was held back.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pegel.jobs import stream
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.jobs.wiring.spark_session import build_session
from pegel.streaming.ingest import index, step
from pegel.streaming.ingest.sinks import StreamTables

# Fault points in the order in which a micro-batch comes to them. Spark has written its offsets before the first, and
# its commit after the last.
OFFSETS, INDEX, DATA_FILE = "after-offsets", "after-index", "data-file-without-commit"
WRITES = ("predictions", "feedback", "dead_letters", "profiles", "blocks", "metrics", "batches")
POINTS = (OFFSETS, INDEX, DATA_FILE, *(f"after-{name}" for name in WRITES))
APPENDS = ("append", "append_rows", "append_arrow")

READY_FILE, STARTED = "STANDBY_READY_FILE", "STANDBY_STARTED"
"""Variables of the environment: where to write the seconds, and the monotonic clock at the start of the process."""


def die() -> None:
    """End this process and its JVM at once."""
    os.killpg(os.getpgid(0), signal.SIGKILL)


def arm(point: str) -> None:
    """See that the process dies at a fault point."""
    if point not in POINTS:
        raise ValueError(f"there is no fault point {point!r}, but {', '.join(POINTS)}")
    if point == OFFSETS:
        _replace(step, "read_index", _before(index.read_index, lambda _: die()))
    elif point == INDEX:
        _replace(step, "read_index", _after(index.read_index, lambda found: die() if len(found) else None))
    elif point == DATA_FILE:
        # Whichever of the two writes the rows of the micro-batch.
        for method in ("append", "append_arrow"):
            _replace(StreamTables, method, _before(getattr(StreamTables, method), _die_at_the_next_data_file))
    else:
        _after_each_write_to(point.removeprefix("after-"), die)


def tell_when_ready(file: Path, so_far: float) -> None:
    """See that the seconds to the first commit are written down, of which so many are over when this is called."""
    begun = time.monotonic()

    def tell() -> None:
        if not file.exists():
            file.write_text(f"{so_far + time.monotonic() - begun:.2f}", encoding="utf-8")

    _after_each_write_to("batches", tell)


def _after_each_write_to(table: str, act: Callable[[], None]) -> None:
    for method in APPENDS:
        _replace(StreamTables, method, _after_table(getattr(StreamTables, method), table, act))


def _replace(holder: Any, name: str, call: Callable[..., Any]) -> None:
    setattr(holder, name, call)


def _before(call: Callable[..., Any], act: Callable[[tuple[Any, ...]], None]) -> Callable[..., Any]:
    def run(*arguments: Any) -> Any:
        act(arguments)
        return call(*arguments)

    return run


def _after(call: Callable[..., Any], act: Callable[[Any], None]) -> Callable[..., Any]:
    def run(*arguments: Any) -> Any:
        result = call(*arguments)
        act(result)
        return result

    return run


def _after_table(call: Callable[..., Any], table: str, act: Callable[[], None]) -> Callable[..., Any]:
    def run(self: StreamTables, name: str, *arguments: Any) -> Any:
        written = call(self, name, *arguments)
        # Spark does not say whether it wrote.
        if name == table and written is not False:
            act()
        return written

    return run


def _die_at_the_next_data_file(arguments: tuple[Any, ...]) -> None:
    tables, name = arguments[:2]
    folder = tables._tables.uri(name)

    def data_files() -> set[str]:
        return {file.name for file in os.scandir(folder) if file.name.endswith(".parquet")}

    before = data_files()

    def watch() -> None:
        # Without a pause: from the file to its commit it may be a few milliseconds.
        while not data_files() - before:
            pass
        die()

    threading.Thread(target=watch, daemon=True).start()


def main() -> int:
    """Start Spark, wait, run the job."""
    arguments = parse(build_parser("stream", "The stream, held back."), sys.argv[1:])
    build_session("pegel-stream", arguments.settings.spark)
    so_far = time.monotonic() - float(os.environ[STARTED])
    point = sys.stdin.readline().strip()
    tell_when_ready(Path(os.environ[READY_FILE]), so_far)
    if point:
        arm(point)
    return stream.main(sys.argv[1:])


if __name__ == "__main__":
    exit_with(main)
