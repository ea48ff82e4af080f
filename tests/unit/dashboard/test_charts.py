from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pegel.dashboard.views.charts import MOST_COLUMNS, charts, newest_revisions

START = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)


def metric(second, value=0.1, **changed):
    return {
        "model": "assistant",
        "version": "7",
        "column": "confidence",
        "metric": "psi",
        "window_start": START + timedelta(seconds=second),
        "window_s": 10,
        "baseline_id": "b7",
        "revision": 1,
        "batch_id": 1,
        "value": value,
        "n": 140,
        "lower": None,
        "upper": None,
        "p_value": 0.5,
        "effect": value,
        "label_completeness": None,
        "calibrated": True,
        **changed,
    }


@pytest.fixture
def draw(scope):
    def build(metrics, incidents=(), promotions=(), **changed):
        rows = {"metrics": [], "metrics_fine": metrics, "promotions": promotions}
        return charts(rows, incidents, replace(scope, now=START + timedelta(minutes=10), **changed))

    return build


def test_of_a_window_only_the_newest_revision_is_drawn():
    old, new = metric(0, 0.1, revision=5), metric(0, 0.9, revision=6)

    assert newest_revisions([new, old]) == newest_revisions([old, new]) == [new]


def test_a_gap_between_windows_breaks_the_line(draw):
    (row,) = draw([metric(0), metric(10), metric(60)], window_s=10).drift

    assert row.lines[0].series["psi"] == (0.1, 0.1, None, 0.1)
    assert row.lines[0].n == (140, 140, None, 140)


def test_series_of_a_line_are_of_one_length(overview_of):
    drawn = overview_of("proving").charts

    lines = [line for row in drawn.drift for line in row.lines] + list(drawn.quality)
    assert lines
    assert all(len(line.t) == len(line.n) == len(s) for line in lines for s in line.series.values())


def test_every_version_has_its_own_line(overview_of):
    row = overview_of("closed").charts.drift[0]

    assert [line.version for line in row.lines] == ["7", "8"]


def test_the_loudest_column_comes_first(draw):
    quiet, loud = metric(0, 0.1, column="quiet"), metric(0, 2.0, column="loud")

    assert [row.column for row in draw([quiet, loud], window_s=10).drift] == ["loud", "quiet"]


def test_columns_beyond_the_most_are_counted_and_not_sent(draw):
    drawn = draw([metric(0, column=f"c{i}") for i in range(MOST_COLUMNS + 3)], window_s=10)

    assert (len(drawn.drift), drawn.hidden_columns) == (MOST_COLUMNS, 3)


def test_what_is_no_number_is_not_drawn(draw):
    (row,) = draw([metric(0, float("nan")), metric(10, float("inf"))], window_s=10).drift

    assert row.lines[0].series["psi"] == (None, None)


def test_short_windows_are_shown_while_trouble_is_young(overview_of):
    assert overview_of("opened").charts.window_s == 10
    assert overview_of("quiet").charts.window_s == 60


def test_a_window_that_cannot_be_chosen_is_not_chosen(draw):
    coarse = [metric(0), metric(0, window_s=60)]

    assert draw(coarse, window_s=7).window_s == 60
    assert draw(coarse, window_s=10).window_s == 10


def test_a_model_that_is_not_there_is_not_chosen(draw):
    both = [metric(0), metric(0, model="other")]

    assert draw(both, model="other").model == "other"
    assert draw(both, model="nobody").model == "assistant"


def test_marks_tell_onset_end_and_versions(overview_of):
    drawn = overview_of("closed").charts
    incident = next(i for i in overview_of("closed").incidents if i.state == "resolved")

    marks = {(m.kind, m.t) for m in drawn.marks}
    assert ("onset", round(incident.since.timestamp() * 1000)) in marks
    assert ("closed", round(incident.changed_at.timestamp() * 1000)) in marks
    assert any(m.kind == "version" and m.label == "version 8" for m in drawn.marks)


def test_the_band_of_an_open_incident_has_no_end(overview_of):
    (band,) = [b for b in overview_of("confirmed").charts.bands if b.state == "confirmed"]

    assert band.end is None
    assert "confidence" in band.columns


def test_effect_is_that_of_one_distance_and_not_the_largest_of_several(draw):
    of_psi, of_ks = metric(0, 0.2, effect=0.3), metric(0, 0.1, metric="ks", effect=0.8)

    (row,) = draw([of_psi, of_ks], window_s=10).drift

    assert row.lines[0].series["effect"] == (0.3,)
