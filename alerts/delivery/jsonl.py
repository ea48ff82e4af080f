"""The sink JSON Lines: one alert a line in a file, for people and for tools that tail it. Edge."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pegel.alerts.delivery.sink import Alert, DeliveryError
from pegel.schemas.alert_stream import to_stream_row

_PORTION = 1000


class JsonLinesSink:
    """Appends alerts to a file and has them on disk before it gives a receipt.

    Args:
        path: the file; it and its folder are made if they are not there.
    """

    name = "jsonl"
    forgets = False

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def chunks(self, alerts: Sequence[Alert]) -> Iterator[list[Alert]]:
        """Portions of 1,000."""
        for start in range(0, len(alerts), _PORTION):
            yield list(alerts[start : start + _PORTION])

    def send(self, alerts: Sequence[Alert]) -> str:
        """Append one portion.

        Raises:
            DeliveryError: if the file cannot be written.
        """
        lines = "".join(json.dumps(to_stream_row(alert), allow_nan=False) + "\n" for alert in alerts)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab+") as file:
                file.write((_end_of_torn_line(file.tell(), self._path) + lines).encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            msg = f"{self._path} could not be written: {error.strerror}; check delivery.jsonl_path"
            raise DeliveryError(msg) from error
        return f"{len(alerts)} lines in {self._path}"


def _end_of_torn_line(size: int, path: Path) -> str:
    """A writer that was killed may have left half a line; the next alert must not be glued to it."""
    if size == 0:
        return ""
    with path.open("rb") as file:
        file.seek(size - 1)
        return "" if file.read(1) == b"\n" else "\n"
