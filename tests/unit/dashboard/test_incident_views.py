from datetime import timedelta

import pytest
from equipment.watched_evening import evening

from pegel.dashboard.views.incidents import incidents
from pegel.dashboard.views.words import Level


def of(rows, start):
    return incidents({"alerts": rows["alerts"], "retrainings": rows["retrainings"]}, start)


def test_open_incidents_come_first_and_closed_ones_after(now):
    found = of(evening(now, "opened", 30), now - timedelta(hours=6))

    assert [(i.state, i.open) for i in found] == [("opened", True), ("retracted", False)]


def test_an_open_incident_is_shown_however_old_it_is(now):
    rows = evening(now, "confirmed", 30)

    found = of(rows, now + timedelta(days=9))

    assert [i.state for i in found] == ["confirmed"]


def test_steps_are_all_transitions_in_order(now):
    rows = evening(now, "closed", 60)
    rows["alerts"].reverse()

    resolved = next(i for i in of(rows, now - timedelta(hours=6)) if i.state == "resolved")

    assert [s.state for s in resolved.steps] == ["opened", "confirmed", "resolved"]
    assert resolved.since < resolved.opened_at < resolved.changed_at


def test_a_closing_transition_without_numbers_shows_those_of_the_evidence(now):
    rows = evening(now, "closed", 60)
    last = max((r for r in rows["alerts"] if r["state"] == "resolved"), key=lambda r: r["sequence"])
    last.update(n=None, effect=None, p_value=None, column="")

    resolved = next(i for i in of(rows, now - timedelta(hours=6)) if i.state == "resolved")

    assert (resolved.effect, resolved.n, resolved.column) == (1.24, 143, "known_word_share")


@pytest.mark.parametrize(
    ("state", "mending", "person"),
    [
        ("started", True, "Nothing yet"),
        ("trained", True, "Nothing yet"),
        ("promoted", True, "Nothing yet"),
        ("proving", True, "Nothing yet"),
        ("rejected", False, "Follow the runbook"),
        ("rolled_back", False, "Follow the runbook"),
        ("failed", False, "pegel retrain --incident"),
    ],
)
def test_a_person_is_asked_only_when_nothing_more_happens_by_itself(now, state, mending, person):
    rows = evening(now, "proving", 30)
    rows["retrainings"] = [{**rows["retrainings"][-1], "state": state}]

    incident = of(rows, now)[0]

    assert (incident.mending, incident.retraining) == (mending, state)
    assert person in incident.todo


def test_a_second_attempt_hides_the_first(now):
    rows = evening(now, "proving", 30)
    first = {**rows["retrainings"][0], "state": "failed", "at": now}
    second = {**first, "state": "started", "attempt": 2, "at": now - timedelta(seconds=5)}
    rows["retrainings"] = [first, second]

    assert of(rows, now)[0].retraining == "started"


def test_a_confirmed_incident_that_only_pages_asks_for_a_person(now):
    rows = evening(now, "confirmed", 30)
    rows["retrainings"] = []
    for row in rows["alerts"]:
        row["action"] = "page"

    incident = of(rows, now)[0]

    assert incident.level is Level.BROKEN
    assert "no one else acts" in incident.todo


def test_a_confirmed_incident_that_asks_for_nothing_asks_nobody(now):
    rows = evening(now, "confirmed", 30)
    rows["retrainings"] = []
    for row in rows["alerts"]:
        if row["state"] == "confirmed":
            row["action"] = "none"

    incident = of(rows, now)[0]

    assert (incident.open, incident.mending) == (True, False)
    assert incident.todo.startswith("Nothing now")


@pytest.mark.parametrize("state", ["opened", "confirmed"])
@pytest.mark.parametrize(
    ("change", "happens"),
    [
        ({"inhibited_by": "4f0c"}, "while the pipeline was sick (incident 4f0c)"),
        ({"model": "*", "version": ""}, "ends by itself"),
        ({"version": ""}, "ends by itself"),
    ],
)
def test_no_confirmation_is_promised_of_what_is_about_a_sick_pipeline(now, state, change, happens):
    rows = evening(now, state, 30)
    alerts = [{**r, **change} for r in rows["alerts"] if r["state"] in ("opened", "confirmed")]

    found = [i for i in incidents({"alerts": alerts, "retrainings": []}, now - timedelta(hours=6)) if i.open]

    assert found
    for incident in found:
        assert happens in incident.happens
        assert "confirm" not in incident.happens
        assert "retraining is asked for" not in incident.happens


def test_pipeline_incident_that_is_over_is_closed_like_any_other(now):
    rows = evening(now, "closed", 60)
    alerts = [{**r, "model": "*", "version": ""} for r in rows["alerts"] if r["state"] != "retracted"]

    found = incidents({"alerts": alerts, "retrainings": []}, now - timedelta(hours=6))

    assert "Closed. Nothing more happens." in [i.happens for i in found]
