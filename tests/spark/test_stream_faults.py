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
def disk(tmp_path):
    """A folder, and whether it is a small disk of its own, which the test may fill: only root can mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", folder], capture_output=True, check=False)
    yield folder, made.returncode == 0
    if made.returncode == 0:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def live(spark, hubs, disk):
    source = {"eventhubs": hubs.source()["eventhubs"] | {"fail_on_data_loss": False}}
    stream = LiveStream(spark, hubs, disk[0], source)
    yield stream
    stream._stop.set()
    stream.join()


def test_a_restarted_hub_and_a_full_disk_cost_no_event_and_what_expires_is_on_record(hubs, live, disk):
    # A life of the stream takes many seconds, so all that it must live through comes to one stream.
    live.send(40)
    live.start()
    live.wait_until_read(40)
    hubs.restart()
    live.send(40)
    live.wait_until_read(80)
    live.stop()
    before = hubs.events()
    assert len(before) == 80
    assert live.differences(before) == []
    assert live.tables.read("gaps") == []

    # While no stream runs more events come than the hub keeps.
    live.send(60)
    sent = hubs.events()
    last_read = newest(before)
    oldest = (last_read + newest(sent)) // 2 + 1
    lost = range(last_read + 1, oldest)
    assert len(lost) > 5
    hubs.server.expire(*GAPPED, oldest)
    live.start()
    live.wait_until_read(len(sent) - len(lost))
    (gap,) = live.tables.read("gaps")
    assert (gap["hub"], gap["partition"], gap["first_offset"], gap["last_offset"]) == (*GAPPED, lost[0], lost[-1])
    assert (gap["cause"], gap["oldest_offset"]) == ("expired", oldest)

    small_disk, is_small = disk
    if is_small:
        see_that_a_full_disk_is_told_and_lived_through(live, small_disk)
    else:
        live.stop()
    kept = [e for e in before if e.place[:2] == GAPPED] + [e for e in hubs.events() if e.place[:2] != GAPPED]
    kept += [e for e in hubs.events() if e.place[:2] == GAPPED and e.offset >= oldest]
    assert live.differences(kept) == []
    DeltaTable(live.tables.uri("gaps")).delete()
    assert any("predictions/0 first" in str(one) for one in live.differences(kept))
    if not is_small:
        pytest.skip("all but the full disk was tried: a small disk can be mounted by root only")


def see_that_a_full_disk_is_told_and_lived_through(live, folder):
    read = live.read()
    fill(folder / "ballast")
    live.send(40)
    live.join()
    assert isinstance(live.failure, OutsideError)
    said = str(live.failure)
    assert "no room left on the disk" in said
    assert str(folder / "tables") in said
    assert "\n" not in said
    # What was committed can be read all the while.
    assert live.read() == read
    (folder / "ballast").unlink()
    live.start()
    live.wait_until_read(read + 40)
    live.stop()


def fill(path):
    """Write to a file until there is no room for one byte more."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)


def newest(events):
    return max(event.offset for event in events if event.place[:2] == GAPPED)
