"""What changed: retrainings, promotions, calls of the webhook and incidents, newest first. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pegel.dashboard.views.words import MAX_SENTENCE, MAX_TITLE, visible

Row = dict[str, Any]

MOST = 40


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that happened.

    Attributes:
        kind: incident, webhook, retraining or promotion.
        says: what happened, in a few words.
        detail: more of it, or ''.
        incident_id: what it belongs to, or ''.
    """

    at: datetime
    kind: str
    model: str
    says: str
    detail: str
    incident_id: str


def changes(rows: Mapping[str, Sequence[Row]], start: datetime) -> tuple[Change, ...]:
    """At most :data:`MOST` changes after ``start``, the newest first."""
    found = [
        *_incidents(rows["alerts"]),
        *_calls(rows["webhook_calls"]),
        *_retrainings(rows["retrainings"]),
        *_promotions(rows["promotions"]),
    ]
    recent = [change for change in found if change.at >= start]
    return tuple(sorted(recent, key=lambda c: (c.at, c.kind), reverse=True)[:MOST])


def _incidents(rows: Sequence[Row]) -> Iterator[Change]:
    for r in rows:
        says = f"Incident {visible(r['state'])}"
        yield Change(
            r["decided_time"],
            "incident",
            visible(r["model"]),
            says,
            visible(r["title"], MAX_TITLE),
            visible(r["incident_id"]),
        )


def _calls(rows: Sequence[Row]) -> Iterator[Change]:
    for r in rows:
        says = f"Webhook called by {visible(r['alert_rule'])}: {visible(r['outcome'])}"
        yield Change(
            r["received_at"],
            "webhook",
            visible(r["model"]),
            says,
            visible(r["detail"], MAX_SENTENCE),
            visible(r["incident_id"]),
        )


def _retrainings(rows: Sequence[Row]) -> Iterator[Change]:
    for r in rows:
        says = f"Retraining {visible(r['state']).replace('_', ' ')}"
        if r["challenger"]:
            says += f": version {visible(r['challenger'])}"
        yield Change(
            r["at"],
            "retraining",
            visible(r["model"]),
            says,
            _qualities(r) or visible(r["detail"], MAX_SENTENCE),
            visible(r["incident_id"]),
        )


def _qualities(row: Row) -> str:
    old, new = row["champion_quality"], row["challenger_quality"]
    if row["state"] not in {"trained", "rejected"} or old is None or new is None:
        return ""
    rows = f", trained on {row['training_rows']:,} rows" if row["training_rows"] else ""
    return f"challenger {new:.3f}, champion {old:.3f} on the same rows{rows}"


def _promotions(rows: Sequence[Row]) -> Iterator[Change]:
    for r in rows:
        old, new = visible(r["expected_version"]), visible(r["new_version"])
        says = f"Champion is version {new}" + (f", was {old}" if old else "")
        reason = visible(r["reason"]).replace("_", " ")
        yield Change(r["at"], "promotion", visible(r["model"]), says, f"{reason}, by {visible(r['by'])}", "")
