"""What a retraining is about: an incident's model and onset, or a schedule's. Edge: reads ``alerts``."""

import json
from dataclasses import dataclass
from datetime import datetime

from pegel.errors import SettingsError
from pegel.lifecycle.registry import Registry
from pegel.lifecycle.training_rows import NO_BATCH, highest_batch, read_named_rows
from pegel.schemas.model_io import TAG_TRAINING
from pegel.schemas.policy import AlertState
from pegel.tables.delta import DeltaTables


@dataclass(frozen=True, slots=True)
class Onset:
    """From when on rows are new, and what to call the retraining.

    Attributes:
        incident_id: the incident, or ``scheduled-<champion>``.
        since: rows at or after it are new; aware UTC.
        min_rows: so many new labelled rows are needed.
    """

    incident_id: str
    since: datetime
    min_rows: int


def onset_of_incident(tables: DeltaTables, model: str, incident_id: str, min_rows: int) -> Onset:
    """Read an incident from ``alerts``.

    The onset is the first estimate that one of its transitions gives; where none does, the newest event of the first
    one.

    Raises:
        SettingsError: if there is no such incident, it is another model's, or it was retracted.
    """
    rows = [row for row in tables.read("alerts") if row["incident_id"] == incident_id]
    rows.sort(key=lambda row: row["sequence"])
    if not rows:
        msg = f"there is no incident {incident_id!r} in the table alerts; check --incident and storage.root"
        raise SettingsError(msg)
    if rows[0]["model"] != model:
        msg = f"the incident {incident_id!r} is about the model {rows[0]['model']!r}, but model.name is {model!r}"
        raise SettingsError(msg)
    if rows[-1]["state"] == AlertState.RETRACTED:
        msg = (
            f"the incident {incident_id!r} was retracted: its evidence did not last, so there is nothing to retrain for"
        )
        raise SettingsError(msg)
    estimate = next((row["since"] for row in rows if row["since"] is not None), None)
    since = estimate or rows[0]["event_time"] or rows[0]["decided_time"]
    return Onset(incident_id, since, min_rows)


def onset_of_schedule(tables: DeltaTables, registry: Registry, min_rows: int) -> Onset:
    """Without an incident, what the champion was not trained on is new.

    Raises:
        SettingsError: if there is no champion, or no labelled row that is new to it.
    """
    champion = registry.champion()
    if champion is None:
        msg = f"{registry.model!r} has no champion to compare with; register one with pegel build-baseline first"
        raise SettingsError(msg)
    trained_to = json.loads(registry.tags(champion).get(TAG_TRAINING, "{}")).get("batch_id_max")
    known = set()
    if trained_to is not None:
        known = {row.event_id for row in read_named_rows(tables, registry.model, trained_to).rows}
    named = read_named_rows(tables, registry.model, highest_batch(tables))
    times = [row.event_time for row in named.rows if row.event_id not in known]
    if named.batch_id_max == NO_BATCH or not times:
        msg = f"no labelled row of {registry.model!r} is new to its champion {champion}; there is nothing to train on"
        raise SettingsError(msg)
    return Onset(f"scheduled-{champion}", min(times), min_rows)
