"""What nobody is to be told at the moment, and why. Edge: reads ``silences``."""

import logging
from datetime import datetime

from pegel.alerts.delivery.sink import Alert
from pegel.schemas.silences import Silence, silences_in
from pegel.tables.delta import DeltaTables

_log = logging.getLogger(__name__)

_TABLE = "silences"


def inhibited(alert: Alert) -> str | None:
    """Why an alert is withheld: it says what it saw while the pipeline was sick. None if it is not.

    Example:
        >>> inhibited({"inhibited_by": "4f0c"})
        'the pipeline was sick, see incident 4f0c'
        >>> inhibited({"alert_id": "written by an older version"})
    """
    by = alert.get("inhibited_by")
    return None if by is None else f"the pipeline was sick, see incident {by}"


class Withholding:
    """Inhibition and silences, as the tables have them.

    Args:
        tables: where ``silences`` lies; it needs not be there.
    """

    def __init__(self, tables: DeltaTables) -> None:
        self._tables = tables
        self._version = -1
        self._said = ""
        self._silences: tuple[Silence, ...] = ()

    def refresh(self) -> None:
        """Read the table if it has moved; while it cannot be read, what was known last holds, and it is logged once."""
        try:
            version = self._tables.version(_TABLE)
            if version > self._version:
                self._silences = silences_in(self._tables.read(_TABLE))
                self._version = version
            self._said = ""
        except Exception as error:  # whatever is wrong with what a person does not want to hear, alerts have to leave
            if str(error) != self._said:
                self._said = str(error)
                _log.warning(
                    "the table silences cannot be read, so alerts are sent by the %d silences that were known last; "
                    "mend the table: %s: %s",
                    len(self._silences),
                    type(error).__name__,
                    error,
                )

    def reason(self, alert: Alert, now: datetime) -> str | None:
        """Why an alert is not sent at this moment; None if it is."""
        for silence in self._silences:
            if silence.covers(alert, now):
                return (
                    f"silenced by {silence.by} until {silence.until:%Y-%m-%d %H:%M:%S} UTC ({silence.silence_id}): "
                    f"{silence.reason}"
                )
        return inhibited(alert)
