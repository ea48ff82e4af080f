from dataclasses import replace
from datetime import timedelta

import pytest

from pegel.dashboard.views.headline import headline
from pegel.dashboard.views.words import Level


@pytest.mark.parametrize(
    ("stage", "level", "where", "broken"),
    [
        ("quiet", Level.OK, "nothing", "No."),
        ("opened", Level.WATCH, "model", "Not sure yet."),
        ("confirmed", Level.BROKEN, "model", "Yes, and it is being mended."),
        ("proving", Level.BROKEN, "model", "Yes, and it is being mended."),
        ("closed", Level.OK, "nothing", "No."),
    ],
)
def test_headline_follows_the_stage_of_the_incident(overview_of, stage, level, where, broken):
    head = overview_of(stage).headline

    assert (head.level, head.where, head.broken) == (level, where, broken)


def test_headline_tells_the_onset_and_not_the_opening(overview_of):
    overview = overview_of("confirmed")

    assert overview.headline.since == overview.incidents[0].since
    assert overview.headline.since < overview.incidents[0].opened_at


def test_headline_names_what_happens_by_itself_while_a_challenger_proves_itself(overview_of):
    head = overview_of("proving").headline

    assert "Version 8 serves and must prove itself" in head.happens
    assert head.runbook == "drift.md"


def test_headline_puts_a_fault_of_the_pipeline_before_an_open_incident(overview_of):
    overview = overview_of("confirmed")
    broken = replace(overview.pipeline.checks[1], level=Level.BROKEN, says="Events are missing", todo="Stop.")
    pipeline = replace(overview.pipeline, checks=(broken,))

    head = headline(overview.models, overview.incidents, pipeline, "", overview.read_at)

    assert (head.where, head.explain, head.todo) == ("pipeline", "Events are missing", "Stop.")
    assert any(overview.incidents[0].title in line for line in head.also)


def test_headline_puts_an_incident_before_a_mere_lag(overview_of):
    overview = overview_of("confirmed")
    late = replace(overview.pipeline.checks[1], level=Level.WATCH, says="behind the hub")
    pipeline = replace(overview.pipeline, checks=(late,))

    head = headline(overview.models, overview.incidents, pipeline, "", overview.read_at)

    assert head.where == "model"
    assert "behind the hub" in head.also


def test_headline_puts_unreadable_tables_before_everything(overview_of, now):
    overview = overview_of("confirmed")
    seen = now - timedelta(minutes=5)

    head = headline(overview.models, overview.incidents, overview.pipeline, "OSError: gone", seen)

    assert (head.level, head.where, head.since) == (Level.BROKEN, "pipeline", seen)
    assert "OSError: gone" in head.explain


def test_headline_is_not_ok_when_a_model_has_no_baseline(overview_of):
    overview = overview_of("quiet")
    odd = replace(overview.models[0], level=Level.WATCH, says="has no baseline, so drift is not judged")

    head = headline((odd,), (), overview.pipeline, "", overview.read_at)

    assert head.level is Level.WATCH
    assert "no baseline" in head.title
