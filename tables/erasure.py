"""Carrying an erasure out, step by step, so that one that was cut off anywhere is completed by beginning again. Edge.

1. **Mark**: rows about the subjects get a row in ``erasures``, all in one commit.
2. **Delete** what is marked, from all three tables.
3. **Account**: the audit trail says how many rows of which micro-batch went.
4. **Forget**: the files that held them go, and the log that described these.
5. **Prove**: all files in the tables' folders are searched.
6. **Close**: the audit trail says so, and the request, which names the person, is deleted.

Only the owner of the tables may do this, and only between two micro-batches: a replay of one that is half written
would miss rows.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from pegel.errors import OutsideError
from pegel.schemas.erasures import ERASABLE, ErasureRequest, read_request
from pegel.schemas.loop_tables import audit_table
from pegel.tables.delta import DeltaTables
from pegel.tables.erased import NAME, erased_places
from pegel.tables.erasure_search import FoundRow, find_rows, remains
from pegel.tables.owned import OwnedTables, Place

WRITER = "erase"
"""The writer of the audit trail."""

ROWS = "erase.rows"
PROVEN = "erase.proven"

_FOLDER = "_erasures"
_BATCHES_IN_ONE_RECORD = 200


class Record(Protocol):
    """How a decision gets into the audit trail: :meth:`pegel.tables.audit.AuditTrail.record`."""

    def __call__(
        self, *, actor: str, action: str, subject: str, decision: str, reason: str, evidence: Mapping[str, Any]
    ) -> None:
        """Return when it is in the table."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did.

    Attributes:
        erasure_id: of the request.
        rows: table -> rows that were erased by it, those included that were erased before it was cut off.
    """

    erasure_id: str
    rows: Mapping[str, int]


def file_request(tables: OwnedTables, request: ErasureRequest) -> None:
    """File a request; whoever owns the tables carries it out.

    Raises:
        OutsideError: if the storage refuses.
    """
    tables.write_file(_path(request.erasure_id), request.to_json())


def is_filed(tables: OwnedTables, erasure_id: str) -> bool:
    """Whether the request still waits or is under way."""
    return tables.read_json(_path(erasure_id)) is not None


def filed_requests(tables: OwnedTables) -> list[ErasureRequest]:
    """The requests that wait, oldest first."""
    found = (tables.read_json(path) for path in tables.files_below(_FOLDER))
    return sorted((read_request(one) for one in found if one is not None), key=lambda request: request.filed_at)


def is_half_written(tables: DeltaTables) -> bool:
    """Whether a table holds rows of a micro-batch that has no row in ``batches`` yet.

    Raises:
        OutsideError: if a table cannot be read.
    """
    highest = {
        name: max((row["n"] for row in tables.read(name, "SELECT coalesce(max(batch_id), -1) AS n FROM t")), default=-1)
        for name in (*ERASABLE, "profiles", "batches")
    }
    return max(highest.values()) > highest["batches"]


class Erasure:
    """Carries out requests.

    Args:
        tables: the tables, which must be one's own until it is done.
        record: the audit trail of :data:`WRITER`.
        now: the clock.
    """

    def __init__(
        self, tables: OwnedTables, record: Record, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._tables = tables
        self._record = record
        self._now = now

    def carry_out(self, request: ErasureRequest) -> Erased:
        """Erase what a request means; again after it was cut off.

        Raises:
            OutsideError: if the storage fails, or a file still holds what was erased; the request stays filed.
        """
        self._mark(request)
        places = erased_places(self._tables, request.erasure_id)
        for table in ERASABLE:
            self._tables.delete(table, places.get(table, ()))
        self._account(request, places)
        for table in ERASABLE:
            self._tables.forget(table)
        left = remains(self._tables, places, request.subjects)
        if left:
            # The name of a file says nothing about a person.
            msg = (
                f"the erasure {request.erasure_id} is not complete: {len(left)} files still hold "
                f"what was to go, the first is {left[0]}; the request stays filed and is tried again"
            )
            raise OutsideError(msg)
        counts = {table: len(places.get(table, ())) for table in ERASABLE}
        self._close(request, counts)
        return Erased(request.erasure_id, counts)

    def _mark(self, request: ErasureRequest) -> None:
        there = erased_places(self._tables, request.erasure_id)
        found = find_rows(self._tables, request.subjects)
        new = [row for row in found if row.place not in there.get(row.table, ())]
        self._tables.append(NAME, [self._marked(request.erasure_id, row) for row in new])

    def _marked(self, erasure_id: str, row: FoundRow) -> dict[str, Any]:
        batch_id, hub, partition, offset = row.place
        return {
            "erasure_id": erasure_id,
            "table_name": row.table,
            "batch_id": batch_id,
            "hub": hub,
            "partition": partition,
            "offset": offset,
            "time": row.time,
            "digest": row.digest(erasure_id),
            "at": self._now(),
        }

    def _account(self, request: ErasureRequest, places: Mapping[str, set[Place]]) -> None:
        """Say in the audit trail how many rows of which micro-batch went, once."""
        records = recorded(self._tables, ROWS, request.erasure_id)
        said = {(one["table_name"], batch_id) for one in records for batch_id, _ in one["batches"]}
        for table, found in places.items():
            counts = sorted(Counter(batch_id for batch_id, *_ in found).items())
            missing = [[batch_id, n] for batch_id, n in counts if (table, batch_id) not in said]
            for start in range(0, len(missing), _BATCHES_IN_ONE_RECORD):
                some = missing[start : start + _BATCHES_IN_ONE_RECORD]
                self._say(request, ROWS, "erased", {"table_name": table, "batches": some})

    def _close(self, request: ErasureRequest, counts: Mapping[str, int]) -> None:
        if not any(recorded(self._tables, PROVEN, request.erasure_id)):
            self._say(request, PROVEN, "proven", dict(counts))
        self._tables.delete_file(_path(request.erasure_id))

    def _say(self, request: ErasureRequest, action: str, decision: str, evidence: Mapping[str, Any]) -> None:
        self._record(
            actor=request.actor,
            action=action,
            subject=request.erasure_id,
            decision=decision,
            reason=request.reason,
            evidence=evidence,
        )


def recorded(tables: DeltaTables, action: str, erasure_id: str | None = None) -> Iterator[dict[str, Any]]:
    """The evidence of what the audit trail says of an erasure, or of all, with its ``erasure_id``.

    Raises:
        OutsideError: if the table cannot be read.
    """
    for piece in tables.scan(audit_table(WRITER).name, "SELECT action, subject, evidence FROM t ORDER BY sequence"):
        for row in piece.to_pylist():
            if row["action"] == action and erasure_id in (None, row["subject"]):
                yield {"erasure_id": row["subject"], **json.loads(row["evidence"])}


def _path(erasure_id: str) -> str:
    return f"{_FOLDER}/{erasure_id}.json"
