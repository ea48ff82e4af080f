"""Who owns the stream's tables at this moment: a small file that its owner renews. Edge.

The stream holds the lease as long as it runs, and lets it go when it ends in order. The lease of an owner that died is
free: at once, if it was a process of this machine; else once nobody renews it, which is seen within
:data:`LOOKS` x :data:`LOOK_SECONDS`, or by its age, for which the clocks of the machines must agree to within some
seconds. Storage without locks cannot refuse a second owner; whoever takes a free lease therefore writes it, waits, and
has it only if it still stands there. An owner that was taken for dead learns it at its next renewal.
"""

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from pegel.errors import OutsideError
from pegel.tables.owned import OwnedTables
from pegel.tables.processes import is_there, name_of_this

_log = logging.getLogger(__name__)

PATH = "_leases/stream.json"
FILES_PATH = "_leases/files.json"
"""Of whoever puts files together or takes them away: what one has written and not committed the other would delete."""
FREE_AFTER_SECONDS = 60.0
RENEW_SECONDS = 5.0
SETTLE_SECONDS = 1.0
LOOK_SECONDS = 0.5
LOOKS = 30
"""Three renewals long: an owner that lives is seen to renew it."""


class Lease:
    """The lease of the stream's tables.

    Args:
        tables: where its file lies.
        kind: who takes it: ``stream``, ``erase`` or ``maintain``.
        path: which lease.
        now: the clock.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        tables: OwnedTables,
        kind: str,
        path: str = PATH,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._tables = tables
        self._kind = kind
        self._path = path
        self._now = now
        self._sleep = sleep
        self._owner = uuid.uuid4().hex
        self._stop = threading.Event()
        self._renewing: threading.Thread | None = None
        self.lost = threading.Event()
        """Set once another owner has it: this one was not heard of for too long."""

    def holder(self) -> str | None:
        """The kind of whoever else holds it; None if it is free."""
        found = self._others()
        return None if found is None else str(found["kind"])

    def is_renewed(self, wait: Callable[[float], bool]) -> bool:
        """Whether whoever else holds it is alive. Looks for a while, unless the holder is of this machine.

        Args:
            wait: waits for so many seconds; gives whether to stop looking, which counts as a holder that is alive.
        """
        before = self._others()
        if before is None:
            return False
        if is_there(before.get("process", "")):
            return True
        for _ in range(LOOKS):
            if wait(LOOK_SECONDS):
                return True
            found = self._others()
            if found != before:
                return found is not None
        return False

    def try_take(self) -> bool:
        """Take it if it is free, and keep it until :meth:`release`.

        Raises:
            OutsideError: if the storage refuses.
        """
        return self.holder() is None and self.take_over()

    def take_over(self) -> bool:
        """Take it from a holder that is dead, and keep it; gives False if somebody else was as quick.

        Raises:
            OutsideError: if the storage refuses.
        """
        self._write()
        self._sleep(SETTLE_SECONDS)
        found = self._tables.read_json(self._path)
        if found is None or found["owner"] != self._owner:
            return False
        self._keep()
        return True

    def release(self) -> None:
        """Stop renewing it, and let it go if it still is one's own."""
        self._stop.set()
        if self._renewing is not None:
            self._renewing.join(RENEW_SECONDS)
        try:
            found = self._tables.read_json(self._path)
            if found is not None and found["owner"] == self._owner:
                self._tables.delete_file(self._path)
        except OSError as error:
            _log.warning("the lease of the tables stays for %.0f s: %s", FREE_AFTER_SECONDS, error)

    def _others(self) -> Mapping[str, Any] | None:
        """What the file says, if it is another's and not too old, and its process is not known to have ended."""
        found = self._tables.read_json(self._path)
        if found is None or found["owner"] == self._owner or is_there(found.get("process", "")) is False:
            return None
        age = (self._now() - datetime.fromisoformat(found["renewed_at"])).total_seconds()
        return found if age <= FREE_AFTER_SECONDS else None

    def _keep(self) -> None:
        self._stop.clear()
        self.lost.clear()
        self._renewing = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._renewing.start()

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_SECONDS):
            try:
                found = self._tables.read_json(self._path)
                if found is not None and found["owner"] != self._owner:
                    self.lost.set()
                    return
                self._write()
            except (OutsideError, OSError) as error:
                _log.warning("the lease of the tables could not be renewed: %s", error)

    def _write(self) -> None:
        said = {"owner": self._owner, "kind": self._kind, "renewed_at": self._now().isoformat()}
        self._tables.write_file(self._path, json.dumps(said | {"process": name_of_this()}))
