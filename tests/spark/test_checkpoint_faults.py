"""A checkpoint that lost or bent a file: the stream goes on as if nothing had been, or says what is wrong."""

import shutil
import threading
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
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

    def __init__(self, spark, events, root):
        self._spark, self.root = spark, root
        self.settings = Settings.model_validate(
            {
                "storage": {"root": str(root)},
                "source": {"kind": "files", "files": {"path": str(events), "max_files_per_trigger": 1}},
                "watch": {"block_min_events": 20},
            }
        )
        self.tables = DeltaTables(self.settings.storage.root)
        create_tables(self.tables)

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


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """The folder that the stream reads."""
    folder = tmp_path_factory.mktemp("events")
    for number in range(2):
        add_file(folder, number)
    return folder


@pytest.fixture
def one_more_file(events):
    """A file that no micro-batch has taken yet; it goes with the test."""
    files = add_file(events, 2)
    yield
    for file in files:
        file.unlink()


def add_file(folder, number):
    """Write the events of this number, a file for each hub."""
    bodies = {"predictions": [], "feedback": []}
    seeded = seeded_events(29, datetime(2026, 11, 25, tzinfo=UTC), (number + 1) * PER_FILE)
    for event in islice(seeded, number * PER_FILE, None):
        # A line feed would be the end of the event.
        bodies["feedback" if event.hub == FEEDBACK else "predictions"].append(event.body.replace(b"\n", b" "))
    files = [folder / hub / f"{number}.jsonl" for hub in bodies]
    for file, lines in zip(files, bodies.values(), strict=True):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"\n".join(lines))
    return files


@pytest.fixture(scope="module")
def two_micro_batches(spark, events, tmp_path_factory):
    """The folder of tables and checkpoint of a stream that took two micro-batches. Only read: each test has a copy."""
    stream = Stream(spark, events, tmp_path_factory.mktemp("stream") / "tables")
    stream.run()
    return stream.root


@pytest.fixture
def stream(spark, events, two_micro_batches, tmp_path):
    # Neither Delta nor a checkpoint knows where it lies.
    return Stream(spark, events, shutil.copytree(two_micro_batches, tmp_path / "tables"))


def test_a_lost_commit_has_the_micro_batch_done_again_and_nothing_stored_twice(stream):
    before = stream.contents()
    assert len(before["batches"]) == 2
    for path in (stream.checkpoint("commits/1"), stream.checkpoint("commits/.1.crc")):
        path.unlink()
    stream.run()
    assert stream.contents() == before
    assert stream.checkpoint("commits/1").exists()


@pytest.mark.usefixtures("one_more_file")
def test_a_checkpoint_without_its_id_is_refused_before_anything_is_written(stream):
    before = stream.contents()
    stream.checkpoint("metadata").unlink()
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
