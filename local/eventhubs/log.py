"""The log of one partition: an append-only file, and an index of it in memory. Edge.

An event is acknowledged after ``write`` has handed it to the operating system, so it survives the death of this process
by any signal. There is no ``fsync``: a power cut or a crash of the machine may cost the newest events.

A record is ``length, crc32, sequence, milliseconds`` (big-endian) and the event in its delivered form. An event's
offset is the position of its record. What a process left half-written at the end is cut off when the log is opened.
"""

import logging
import os
import struct
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from pegel.local.eventhubs.message import Stamp, delivered

LOG = logging.getLogger(__name__)

_RECORD = struct.Struct(">IIQQ")
_CHECKED = struct.Struct(">QQ")


class PartitionLog:
    """The events of one partition, numbered from 0 without a gap.

    Args:
        path: the file; made if it is not there. One process at a time may use it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begin_path = path.with_suffix(".begin")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._positions = array("Q")
        self._times = array("q")
        self._size = 0
        self._recover()
        self.begin = int(self._begin_path.read_text()) if self._begin_path.is_file() else 0

    def _recover(self) -> None:
        """Rebuild the index, and cut what follows the last whole record."""
        on_disk = os.fstat(self._file).st_size
        for position, end, milliseconds in _records(self._path):
            self._positions.append(position)
            self._times.append(milliseconds)
            self._size = end
        if on_disk > self._size:
            LOG.warning(
                "%s: cut %d bytes that hold no whole event, after event %d; they were never acknowledged if a process"
                " ended while it wrote, and are lost if the machine crashed",
                self._path, on_disk - self._size, self.end - 1,
            )  # fmt: skip
            os.ftruncate(self._file, self._size)

    @property
    def end(self) -> int:
        """The sequence number that the next event gets."""
        return len(self._positions)

    @property
    def is_empty(self) -> bool:
        """Whether no event can be read."""
        return self.begin >= self.end

    @property
    def last(self) -> Stamp | None:
        """The newest event's stamp, without its key; None if there never was an event."""
        if not self._positions:
            return None
        return Stamp(self.end - 1, str(self._positions[-1]), self._times[-1], None)

    def append(self, events: Sequence[bytes], key: str | None, now_ms: int) -> None:
        """Stamp and write events, all or none.

        The enqueued time never goes backwards, whatever the clock does: search by time needs that.

        Raises:
            OSError: if they cannot be written; the log is then as it was.
            MalformedError: if one is no message; nothing is written.
        """
        milliseconds = max(now_ms, self._times[-1]) if self._times else now_ms
        position = self._size
        positions, records = array("Q"), []
        for number, event in enumerate(events, self.end):
            payload = delivered(event, Stamp(number, str(position), milliseconds, key))
            checksum = zlib.crc32(payload, zlib.crc32(_CHECKED.pack(number, milliseconds)))
            records.append(_RECORD.pack(len(payload), checksum, number, milliseconds) + payload)
            positions.append(position)
            position += len(records[-1])
        self._write(b"".join(records))
        self._size = position
        self._positions.extend(positions)
        self._times.extend(array("q", [milliseconds]) * len(positions))

    def _write(self, data: bytes) -> None:
        done = 0
        try:
            while done < len(data):
                done += os.pwrite(self._file, memoryview(data)[done:], self._size + done)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise

    def read(self, sequence: int, count: int, max_bytes: int) -> list[bytes]:
        """At most ``count`` events from ``sequence`` on, of about ``max_bytes`` together but at least one if any is."""
        stop = min(sequence + count, self.end)
        if sequence >= stop:
            return []
        start = self._positions[sequence]
        if self._size > start + max_bytes:
            stop = min(stop, max(sequence + 1, bisect_right(self._positions, start + max_bytes) - 1))
        finish = self._positions[stop] if stop < self.end else self._size
        data = os.pread(self._file, finish - start, start)
        edges = [*self._positions[sequence:stop], finish]
        return [data[a - start + _RECORD.size : b - start] for a, b in pairwise(edges)]

    def at_offset(self, offset: int, *, inclusive: bool) -> int:
        """The first sequence number whose offset is above ``offset``, or equal to it if inclusive."""
        return (bisect_left if inclusive else bisect_right)(self._positions, offset) if offset >= 0 else 0

    def at_time(self, milliseconds: int, *, inclusive: bool) -> int:
        """The first sequence number enqueued after a moment, or at it if inclusive."""
        return (bisect_left if inclusive else bisect_right)(self._times, milliseconds)

    def expire(self, before: int) -> None:
        """Let events with lower numbers go, as retention does; a restart does not bring them back."""
        self.begin = min(max(self.begin, before), self.end)
        waiting = self._begin_path.with_suffix(".begin.new")
        waiting.write_text(str(self.begin))
        waiting.replace(self._begin_path)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _records(path: Path) -> Iterator[tuple[int, int, int]]:
    """Position, end and time of each whole record, up to the first that is not."""
    position = expected = 0
    with path.open("rb", buffering=1 << 20) as file:
        while len(head := file.read(_RECORD.size)) == _RECORD.size:
            length, checksum, number, milliseconds = _RECORD.unpack(head)
            payload = file.read(length)
            whole = len(payload) == length and number == expected
            if not whole or checksum != zlib.crc32(payload, zlib.crc32(_CHECKED.pack(number, milliseconds))):
                return
            end = position + _RECORD.size + length
            yield position, end, milliseconds
            position, expected = end, expected + 1
