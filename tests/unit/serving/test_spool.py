from pathlib import Path

from pegel.serving.spool import SEGMENT_EVENTS, Spool


def drain(spool: Spool) -> list[bytes]:
    found: list[bytes] = []
    while (segment := spool.oldest()) is not None:
        found += segment.bodies
        spool.remove(segment.number)
    return found


def test_spool_gives_events_back_in_the_order_they_came(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    bodies = [f"{n}".encode() for n in range(3 * SEGMENT_EVENTS)]
    for start in range(0, len(bodies), 7):
        spool.append(bodies[start : start + 7])
    assert 3 <= spool.segments <= 4
    assert drain(spool) == bodies
    assert spool.is_empty
    assert list(tmp_path.iterdir()) == []


def test_reserved_number_comes_before_what_is_appended_later(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append([b"1"])
    number = spool.reserve()
    spool.append([b"3"])
    spool.write(number, [b"2"])
    assert drain(spool) == [b"1", b"2", b"3"]


def test_segment_that_was_handed_out_grows_no_more(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append([b"1"])
    segment = spool.oldest()
    spool.append([b"2"])
    assert segment is not None
    spool.remove(segment.number)
    assert drain(spool) == [b"2"]


def test_next_process_continues_behind_what_the_last_one_left(tmp_path: Path) -> None:
    Spool(tmp_path).append([b"1", b"2"])
    spool = Spool(tmp_path)
    spool.append([b"3"])
    assert drain(spool) == [b"1", b"2", b"3"]


def test_line_that_a_crash_cut_off_is_no_event_and_is_counted(tmp_path: Path) -> None:
    Spool(tmp_path).append([b'{"a":1}'])
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes() + b'{"b":')
    spool = Spool(tmp_path)
    spool.append([b'{"c":3}'])
    segment = spool.oldest()
    assert segment is not None
    assert (segment.bodies, segment.torn) == ((b'{"a":1}',), 1)
    spool.remove(segment.number)
    assert drain(spool) == [b'{"c":3}']
