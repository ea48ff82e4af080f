"""Which rows of ``alerts`` a person means who names an incident or an alert. Edge."""

from collections.abc import Sequence

from pegel.errors import SettingsError
from pegel.tables.delta import DeltaTables, Row

_SHORTEST = 6


def find_incident(tables: DeltaTables, wanted: str, names: Sequence[str] = ("alerts",)) -> list[Row]:
    """All rows of an incident, in order.

    Args:
        tables: where.
        wanted: its id, or that of one of its alerts, or the first six or more characters of either. It is compared in
            Python and never becomes a part of a query.
        names: the tables of alerts to look in.

    Raises:
        SettingsError: if no incident and no alert is named so, or several are.
    """
    alerts = [row for name in names for row in tables.read(name)]
    found = {row["incident_id"] for row in alerts if wanted in (row["incident_id"], row["alert_id"])}
    if not found and len(wanted) >= _SHORTEST:
        found = {
            row["incident_id"]
            for row in alerts
            if row["incident_id"].startswith(wanted) or row["alert_id"].startswith(wanted)
        }
    if len(found) > 1:
        msg = f"{len(found)} incidents in {tables.uri('alerts')} have ids that begin with {wanted!r}; give more of it"
        raise SettingsError(msg)
    if not found:
        msg = f"no incident and no alert in {tables.uri('alerts')} has the id {wanted!r}; the dashboard lists them"
        raise SettingsError(msg)
    mine = (row for row in alerts if row["incident_id"] in found)
    return sorted(mine, key=lambda row: row["sequence"])
