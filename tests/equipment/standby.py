"""``pegel stream`` whose Spark session is up before it may begin: what a process that takes over has done already.

It begins when a line comes on its standard input, so that the next process can start while the last one still runs.
The line may name a fault point: then SIGKILL comes to it and its JVM, by its own hand, the first time it gets there.
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
        _replace(StreamTables, "append", _before(StreamTables.append, _die_at_the_next_data_file))
    else:
        table = point.removeprefix("after-")
        for method in ("append", "append_rows", "append_arrow"):
            _replace(StreamTables, method, _after_table(getattr(StreamTables, method), table))


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


def _after_table(call: Callable[..., Any], table: str) -> Callable[..., Any]:
    def run(self: StreamTables, name: str, *arguments: Any) -> Any:
        written = call(self, name, *arguments)
        if name == table and written:
            die()
        return written

    return run


def _die_at_the_next_data_file(arguments: tuple[Any, ...]) -> None:
    tables, name = arguments[:2]
    folder = Path(tables._tables.uri(name))
    before = set(folder.glob("*.parquet"))

    def watch() -> None:
        while not set(folder.glob("*.parquet")) - before:
            time.sleep(0.0005)
        die()

    threading.Thread(target=watch, daemon=True).start()


def main() -> int:
    """Start Spark, wait, run the job."""
    arguments = parse(build_parser("stream", "The stream, held back."), sys.argv[1:])
    build_session("pegel-stream", arguments.settings.spark)
    if point := sys.stdin.readline().strip():
        arm(point)
    return stream.main(sys.argv[1:])


if __name__ == "__main__":
    exit_with(main)
