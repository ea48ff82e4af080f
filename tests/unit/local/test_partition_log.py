"""The log keeps what it acknowledged, and nothing that a dying process left half-written."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.local.eventhubs import codec, log, message
from pegel.local.eventhubs.conditions import MalformedError
from pegel.local.eventhubs.log import PartitionLog


def event(body):
    return codec.described(message.DATA, codec.binary(body))


def bodies(found):
    return [
        codec.decode(raw, section.value)[0]
        for raw in found
        for section in message.sections(raw)
        if section.code == message.DATA
    ]


def offset_of(one, sequence):
    raw = one.read(sequence, 1, 1)[0]
    section = next(part for part in message.sections(raw) if part.code == message.MESSAGE_ANNOTATIONS)
    return int(codec.decode(raw, section.value)[0]["x-opt-offset"])


@pytest.fixture
def opened(tmp_path):
    logs = []

    def reopen(name="0.log"):
        logs.append(PartitionLog(tmp_path / name))
        return logs[-1]

    yield reopen
    for one in logs:
        one.close()


def test_events_are_read_back_in_order_after_a_restart(opened):
    first = opened()
    first.append([event(b"a"), event(b"b")], None, 1000)
    first.append([event(b"c")], "key", 2000)
    again = opened()
    assert (again.begin, again.end) == (0, 3)
    assert bodies(again.read(0, 10, 1 << 20)) == [b"a", b"b", b"c"]
    assert again.last == first.last


@given(events=st.lists(st.binary(max_size=50), min_size=1, max_size=6), data=st.data())
def test_a_torn_tail_is_cut_and_the_whole_events_before_it_stay(tmp_path_factory, events, data):
    path = tmp_path_factory.mktemp("log") / "0.log"
    written = PartitionLog(path)
    ends = []
    for body in events:
        written.append([event(body)], None, 1000)
        ends.append(path.stat().st_size)
    written.close()
    cut = data.draw(st.integers(0, ends[-1]))
    with path.open("r+b") as file:
        file.truncate(cut)
    whole = sum(end <= cut for end in ends)
    recovered = PartitionLog(path)
    try:
        assert recovered.end == whole
        assert path.stat().st_size == ([0, *ends])[whole]
        recovered.append([event(b"next")], None, 1000)
        assert bodies(recovered.read(0, 10, 1 << 20)) == [*events[:whole], b"next"]
    finally:
        recovered.close()


def test_a_tail_of_garbage_is_cut_and_said(opened, tmp_path, caplog):
    opened().append([event(b"a"), event(b"b")], None, 1000)
    path = tmp_path / "0.log"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with caplog.at_level(logging.WARNING, log.__name__):
        assert opened().end == 1
    assert "after event 0" in caplog.text


def test_a_batch_with_one_bad_event_writes_none(opened):
    one = opened()
    with pytest.raises(MalformedError):
        one.append([event(b"a"), b"\x01"], None, 1000)
    assert one.end == 0
    one.append([event(b"b")], None, 1000)
    assert bodies(opened().read(0, 10, 1 << 20)) == [b"b"]


def test_a_write_that_fails_leaves_the_log_as_it_was(opened, tmp_path, monkeypatch):
    one = opened()
    one.append([event(b"a")], None, 1000)
    size = (tmp_path / "0.log").stat().st_size
    real = log.os.pwrite

    def half_then_full(file, data, position):
        if len(data) > 10:
            return real(file, data[:10], position)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(log.os, "pwrite", half_then_full)
        with pytest.raises(OSError, match="No space"):
            one.append([event(b"b" * 20)], None, 1000)
    assert (tmp_path / "0.log").stat().st_size == size
    one.append([event(b"c")], None, 1000)
    assert bodies(opened().read(0, 10, 1 << 20)) == [b"a", b"c"]


def test_positions_are_found_by_offset_and_by_time(opened):
    one = opened()
    for second, body in enumerate((b"a", b"b", b"c")):
        one.append([event(body)], None, 1000 * second)
    middle = offset_of(one, 1)
    assert one.at_offset(-1, inclusive=False) == 0
    assert one.at_offset(middle, inclusive=False) == 2
    assert one.at_offset(middle, inclusive=True) == 1
    assert one.at_time(1000, inclusive=False) == 2
    assert one.at_time(1000, inclusive=True) == 1
    assert one.at_time(9999, inclusive=True) == 3


def test_the_enqueued_time_never_goes_backwards(opened):
    one = opened()
    one.append([event(b"a")], None, 5000)
    one.append([event(b"b")], None, 4000)
    assert one.last.enqueued_ms == 5000


@given(st.integers(0, 7), st.integers(1, 8), st.integers(1, 400))
def test_a_read_gives_at_least_one_event_and_about_as_many_bytes_as_asked(tmp_path_factory, start, count, room):
    one = PartitionLog(tmp_path_factory.mktemp("log") / "0.log")
    try:
        one.append([event(b"%d" % number) for number in range(8)], None, 1000)
        found = one.read(start, count, room)
        assert bodies(found) == [b"%d" % number for number in range(start, start + len(found))]
        assert 1 <= len(found) <= count
        assert len(found) == 1 or sum(map(len, found)) <= room
    finally:
        one.close()


def test_expired_events_stay_away_after_a_restart(opened):
    one = opened()
    one.append([event(b"a"), event(b"b")], None, 1000)
    one.expire(1)
    assert (opened().begin, opened().end) == (1, 2)
    one.expire(7)
    assert one.begin == 2
    assert one.is_empty
