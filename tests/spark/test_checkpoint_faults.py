"""A checkpoint that lost or bent a file: the stream goes on as if nothing had been, or says what is wrong."""

import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from equipment.seeded_events import FEEDBACK, seeded_events

from pegel.conf.settings import Settings
from pegel.errors import PegelError
from pegel.jobs.stream import MicroBatches, _Loop, _run
from pegel.schemas.tables import STREAM_TABLES
from pegel.streaming.ingest.sinks import create_tables
from pegel.tables.delta import DeltaTables

pytestmark = pytest.mark.spark

PER_FILE = 40


class Stream:
    """A stream of files that takes what there is and ends, as often as it is started."""

    def __init__(self, spark, folder):
        self._spark, self._events, self._files = spark, folder / "events", 0
        self.settings = Settings.model_validate(
            {
                "storage": {"root": str(folder / "tables")},
                "source": {"kind": "files", "files": {"path": str(self._events), "max_files_per_trigger": 1}},
                "watch": {"block_min_events": 20},
            }
        )
        self._seeded = seeded_events(29, datetime(2026, 11, 25, tzinfo=UTC), 10_000)
        self.tables = DeltaTables(self.settings.storage.root)
        create_tables(self.tables)

    def add_file(self):
        bodies = {"predictions": [], "feedback": []}
        for _ in range(PER_FILE):
            event = next(self._seeded)
            # A line feed would be the end of the event.
            bodies["feedback" if event.hub == FEEDBACK else "predictions"].append(event.body.replace(b"\n", b" "))
        for hub, lines in bodies.items():
            (self._events / hub).mkdir(parents=True, exist_ok=True)
            (self._events / hub / f"{self._files}.jsonl").write_bytes(b"\n".join(lines))
        self._files += 1

    def run(self):
        loop = _Loop(threading.Event(), lambda: None)
        _run(self._spark, self.settings, MicroBatches(self._spark, self.settings), loop, available_now=True)

    def checkpoint(self, name):
        return Path(self.settings.storage.checkpoint_location) / name

    def contents(self):
        clocks = {"started_at", "committed_at", "decided_time", "stored_time"}
        return {
            name: sorted(repr({c: v for c, v in row.items() if c not in clocks}) for row in self.tables.read(name))
            for name in STREAM_TABLES
        }


@pytest.fixture
def stream(spark, tmp_path):
    stream = Stream(spark, tmp_path)
    for _ in range(2):
        stream.add_file()
    stream.run()
    return stream


def test_a_lost_commit_has_the_micro_batch_done_again_and_nothing_stored_twice(stream):
    before = stream.contents()
    assert len(before["batches"]) == 2
    for path in (stream.checkpoint("commits/1"), stream.checkpoint("commits/.1.crc")):
        path.unlink()
    stream.run()
    assert stream.contents() == before
    assert stream.checkpoint("commits/1").exists()


def test_a_checkpoint_without_its_id_is_refused_before_anything_is_written(stream):
    before = stream.contents()
    stream.checkpoint("metadata").unlink()
    stream.add_file()
    with pytest.raises(PegelError, match=r"has lost its file metadata.*storage\.checkpoint") as refused:
        stream.run()
    assert "\n" not in str(refused.value)
    assert stream.contents() == before


@pytest.mark.parametrize("name", ["offsets/1", "commits/1", "sources/0/1"])
def test_a_checkpoint_with_a_file_cut_off_is_refused_or_goes_on_as_if_it_were_whole(stream, name):
    before = stream.contents()
    path = stream.checkpoint(name)
    path.write_bytes(path.read_bytes()[:3])
    path.with_name(f".{path.name}.crc").unlink()
    with suppress(PegelError):
        stream.run()
    # Events that are read again are in the accounts of one more micro-batch, and nowhere else.
    after = stream.contents()
    assert after.pop("batches")[:2] == before.pop("batches")
    assert after == before
