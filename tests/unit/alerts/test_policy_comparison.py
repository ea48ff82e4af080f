"""Each incident that two policies do not tell alike is new, gone or moved, and none is left out."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pegel.alerts.policy_comparison import Change, ToldIncident, by_rule, changes, per_week, told_incidents

START = datetime(2026, 11, 25, tzinfo=UTC)


def incident(start: int, length: int | None, rule: str = "drift", model: str = "m") -> ToldIncident:
    opened = START + timedelta(minutes=start)
    ended = None if length is None else opened + timedelta(minutes=length)
    state = "opened" if ended is None else "resolved"
    return ToldIncident(f"{model}{rule}{start}", model, rule, "1", "*", "x", opened, ended, state, True)


incidents = st.lists(
    st.builds(incident, st.integers(0, 200), st.one_of(st.none(), st.integers(0, 30)), st.sampled_from(["a", "b"])),
    max_size=8,
    unique_by=lambda one: one.incident_id,
)


@given(incidents, incidents)
def test_every_incident_is_told_alike_or_is_among_the_changes_once(
    now: list[ToldIncident], new: list[ToldIncident]
) -> None:
    found = changes(now, new)
    only_new = {one.incident_id for one in new} - {one.incident_id for one in now}
    only_now = {one.incident_id for one in now} - {one.incident_id for one in new}
    of = {kind: [c.incident.incident_id for c in found if c.change is kind] for kind in Change}
    assert sorted(of[Change.NEW] + of[Change.MOVED]) == sorted(only_new)
    assert len(of[Change.GONE]) == len(only_now) - len(of[Change.MOVED])
    assert set(of[Change.GONE]) <= only_now
    assert all((c.later is None) == (c.change is not Change.MOVED) for c in found)
    assert sum(b - a for *_, a, b in by_rule(now, new)) == len(new) - len(now)


@given(incidents)
def test_the_same_incidents_are_no_change(told: list[ToldIncident]) -> None:
    assert changes(told, told) == []


def test_an_incident_that_opens_while_the_other_is_open_has_moved() -> None:
    now = [incident(10, 20), incident(60, 5)]
    new = [incident(12, 5), incident(70, 5), incident(11, 5, "errors")]
    assert [(c.change, c.incident.incident_id, c.later) for c in changes(now, new)] == [
        (Change.NEW, "merrors11", None),
        (Change.MOVED, "mdrift12", timedelta(minutes=2)),
        (Change.GONE, "mdrift60", None),
        (Change.NEW, "mdrift70", None),
    ]


def _row(sequence: int, state: str, minutes: int) -> dict[str, Any]:
    named = {"incident_id": "i", "model": "m", "rule": "drift", "version": "1", "segment": "*", "column": "x"}
    return named | {"sequence": sequence, "state": state, "decided_time": START + timedelta(minutes=minutes)}


def test_rows_become_one_incident_and_none_whose_opening_is_not_among_them() -> None:
    rows = [_row(3, "resolved", 9), _row(1, "opened", 1), _row(2, "confirmed", 4)]
    (told,) = told_incidents(rows)
    assert (told.opened, told.ended, told.state, told.confirmed) == (
        START + timedelta(minutes=1),
        START + timedelta(minutes=9),
        "resolved",
        True,
    )
    assert told_incidents(rows[:1]) == []
    assert told_incidents(rows[1:])[0].ended is None


def test_a_short_history_is_taken_for_a_day() -> None:
    assert per_week(2, timedelta(minutes=3)) == per_week(2, timedelta(days=1)) == 14
