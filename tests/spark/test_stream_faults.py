"""Faults under a running stream: what it lives through, and what it says when it cannot go on."""

import subprocess
from contextlib import suppress

import pytest
from deltalake import DeltaTable
from equipment.hubs import AmqpHubs
from equipment.live_stream import LiveStream

from pegel.errors import OutsideError

pytestmark = pytest.mark.spark

GAPPED = ("predictions", "0")


@pytest.fixture
def hubs(tmp_path):
    with AmqpHubs(tmp_path) as hubs:
        yield hubs


@pytest.fixture
def live(spark, tmp_path, hubs):
    made = []

    def make(folder=tmp_path, **source):
        made.append(LiveStream(spark, hubs, folder, source))
        return made[-1]

    yield make
    for stream in made:
        stream._stop.set()
        stream.join()


def test_a_hub_that_restarts_under_the_stream_costs_no_event_and_what_expires_is_on_record(hubs, live):
    stream = live(eventhubs=hubs.source()["eventhubs"] | {"fail_on_data_loss": False})
    stream.send(40)
    stream.start()
    stream.wait_until_read(40)
    hubs.restart()
    stream.send(40)
    stream.wait_until_read(80)
    stream.stop()
    before = hubs.events()
    assert len(before) == 80
    assert stream.differences(before) == []
    assert stream.tables.read("gaps") == []

    # While no stream runs more events come than the hub keeps.
    stream.send(60)
    sent = hubs.events()
    last_read = newest(before)
    oldest = (last_read + newest(sent)) // 2 + 1
    lost = range(last_read + 1, oldest)
    assert len(lost) > 5
    hubs.server.expire(*GAPPED, oldest)
    stream.start()
    stream.wait_until_read(len(sent) - len(lost))
    stream.stop()
    (gap,) = stream.tables.read("gaps")
    assert (gap["hub"], gap["partition"], gap["first_offset"], gap["last_offset"]) == (*GAPPED, lost[0], lost[-1])
    assert (gap["cause"], gap["oldest_offset"]) == ("expired", oldest)
    assert stream.differences([e for e in sent if e.place[:2] != GAPPED or e.offset not in lost]) == []
    DeltaTable(stream.tables.uri("gaps")).delete()
    assert any("predictions/0 first" in str(one) for one in stream.differences(sent))


@pytest.fixture
def small_disk(tmp_path):
    """A disk of its own, which the test may fill."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"a small disk can be mounted by root only: {made.stderr.decode()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(path):
    """Write to a file until there is no room for one byte more."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)


def test_a_full_disk_ends_the_stream_in_one_sentence_and_with_room_again_it_goes_on(hubs, live, small_disk):
    stream = live(small_disk)
    stream.send(40)
    stream.start()
    stream.wait_until_read(40)
    fill(small_disk / "ballast")
    stream.send(40)
    stream.join()
    assert isinstance(stream.failure, OutsideError)
    said = str(stream.failure)
    assert "no room left on the disk" in said
    assert str(small_disk / "tables") in said
    assert "\n" not in said
    # What was committed can be read all the while.
    assert stream.read() == 40
    (small_disk / "ballast").unlink()
    stream.start()
    stream.wait_until_read(80)
    stream.stop()
    assert stream.differences(hubs.events()) == []


def newest(events):
    return max(event.offset for event in events if event.place[:2] == GAPPED)
