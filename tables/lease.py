"""Who owns the stream's tables at this moment: a small file that its owner renews. Edge.

The stream holds the lease as long as it runs, and lets it go when it ends in order. A lease that was not renewed for
:data:`FREE_AFTER_SECONDS` is free: its owner has died. So the clocks of the machines must agree to within some seconds.
Storage without locks cannot refuse a second owner; whoever takes a free lease therefore writes it, waits, and has it
only if it still stands there. The stream itself never waits for another stream: a killed one must not hold up the next.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from pegel.errors import OutsideError
from pegel.tables.owned import OwnedTables

_log = logging.getLogger(__name__)

PATH = "_leases/stream.json"
FREE_AFTER_SECONDS = 60.0
RENEW_SECONDS = 10.0
SETTLE_SECONDS = 1.0


class Lease:
    """The lease of the stream's tables.

    Args:
        tables: where its file lies.
        kind: who takes it: ``stream`` or ``erase``.
        now: the clock.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        tables: OwnedTables,
        kind: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._tables = tables
        self._kind = kind
        self._now = now
        self._sleep = sleep
        self._owner = uuid.uuid4().hex
        self._stop = threading.Event()
        self._renewing: threading.Thread | None = None

    def holder(self) -> str | None:
        """The kind of whoever else holds it; None if it is free."""
        found = self._tables.read_json(PATH)
        if found is None or found["owner"] == self._owner:
            return None
        age = (self._now() - datetime.fromisoformat(found["renewed_at"])).total_seconds()
        return str(found["kind"]) if age <= FREE_AFTER_SECONDS else None

    def try_take(self) -> bool:
        """Take it if it is free, and keep it until :meth:`release`.

        Raises:
            OutsideError: if the storage refuses.
        """
        if self.holder() is not None:
            return False
        self._write()
        self._sleep(SETTLE_SECONDS)
        found = self._tables.read_json(PATH)
        if found is None or found["owner"] != self._owner:
            return False
        self._keep()
        return True

    def take_over(self) -> None:
        """Take it whatever stands there, and keep it: for the stream, when no erasure is under way.

        Raises:
            OutsideError: if the storage refuses.
        """
        self._write()
        self._keep()

    def release(self) -> None:
        """Stop renewing it, and let it go if it still is one's own."""
        self._stop.set()
        if self._renewing is not None:
            self._renewing.join(RENEW_SECONDS)
        try:
            found = self._tables.read_json(PATH)
            if found is not None and found["owner"] == self._owner:
                self._tables.delete_file(PATH)
        except OSError as error:
            _log.warning("the lease of the tables stays for %.0f s: %s", FREE_AFTER_SECONDS, error)

    def _keep(self) -> None:
        self._stop.clear()
        self._renewing = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._renewing.start()

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_SECONDS):
            try:
                self._write()
            except OutsideError as error:
                _log.warning("the lease of the tables could not be renewed: %s", error)

    def _write(self) -> None:
        renewed_at = self._now().isoformat()
        self._tables.write_file(
            PATH, f'{{"owner": "{self._owner}", "kind": "{self._kind}", "renewed_at": "{renewed_at}"}}'
        )
