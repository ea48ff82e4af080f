from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.dashboard.views.health import model_health
from pegel.dashboard.views.intervals import share
from pegel.dashboard.views.words import Level

START = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)


def window(second, events=100, **changed):
    start = START + timedelta(seconds=second)
    return {
        "model": "assistant",
        "version": "7",
        "window_start": start,
        "window_s": 10,
        "batch_id": second,
        "newest": start + timedelta(seconds=9),
        "events": events,
        "errors": 0,
        "labelled": 0,
        "correct": 0,
        **changed,
    }


def baseline(version="7"):
    return {"baseline_id": "b", "model": "assistant", "version": version, "created_at": START, "n": 9}


def promotion(new, at=START):
    return {"model": "assistant", "new_version": new, "expected_version": "", "at": at, "by": "x", "reason": "first"}


def healths(counts, promotions=(), *, baselines=None, blocks=(), now=None):
    known = [baseline()] if baselines is None else baselines
    rows = {"counts": counts, "promotions": promotions, "baselines": known, "blocks": blocks}
    return model_health(rows, (), now or START + timedelta(seconds=130), 60.0)


def test_rate_is_events_of_the_last_full_minute_over_its_seconds():
    counts = [window(10 * i, events=100 + i) for i in range(12)]

    (health,) = healths(counts)

    # The window from 110 s is still filling: 50 s to 110 s are told.
    assert health.events == sum(100 + i for i in range(5, 11))
    assert health.per_second == pytest.approx(health.events / 60)


def test_rate_of_the_first_seconds_is_over_the_seconds_there_were():
    (health,) = healths([window(0), window(10), window(20)])

    assert health.per_second == pytest.approx(200 / 20)


def test_partials_of_one_window_add_up():
    counts = [window(0, events=30), window(0, events=70), window(10)]

    (health,) = healths(counts)

    assert health.events == 100


def test_a_clock_that_runs_ahead_does_not_hide_the_traffic():
    counts = [window(10 * i) for i in range(12)]
    ahead = {**window(400, events=1), "newest": counts[-1]["newest"]}

    (health,) = healths([*counts, ahead])

    assert health.per_second == pytest.approx(10)


def test_accuracy_is_of_the_labelled_alone():
    counts = [window(0, labelled=40, correct=36), window(10, labelled=0)]

    (health,) = healths(counts)

    assert (health.accuracy.value, health.accuracy.n) == (0.9, 40)
    assert (health.completeness.value, health.completeness.n) == (0.4, 100)


def test_accuracy_of_long_ago_does_not_hide_that_of_now():
    counts = [window(0, labelled=100, correct=99), window(900, labelled=10, correct=5), window(910)]

    (health,) = healths(counts)

    assert (health.accuracy.value, health.accuracy.n) == (0.5, 10)
    assert health.accuracy.at == START + timedelta(seconds=900)


def test_no_labels_is_not_an_accuracy_of_nought():
    (health,) = healths([window(0)])

    assert health.accuracy.value is None


def test_champion_is_the_newest_promotion_and_not_the_newest_events():
    counts = [window(0, version="8"), window(10, version="7")]
    promotions = [promotion("7"), promotion("8", START + timedelta(seconds=5))]

    (health,) = healths(counts, promotions)

    assert health.champion == "8"
    assert health.versions == ("7", "8")


@pytest.mark.parametrize(
    ("counts", "baselines", "seconds", "level", "word"),
    [
        ([window(0)], [baseline()], 20, Level.OK, "is judged"),
        ([window(0)], [baseline()], 200, Level.WATCH, "no events now"),
        ([window(0)], [baseline("6")], 20, Level.WATCH, "no baseline"),
        ([], [baseline()], 20, Level.UNKNOWN, "no events in the hours"),
    ],
)
def test_level_says_why(counts, baselines, seconds, level, word):
    (health,) = healths(counts, [promotion("7")], baselines=baselines, now=START + timedelta(seconds=seconds))

    assert health.level is level
    assert word in health.says


def test_judged_is_the_column_nearest_to_its_mark_in_the_newest_block():
    def verdict(column, statistic, threshold=10.0):
        return {
            "column": column,
            "statistic": statistic,
            "threshold": threshold,
            "effect": 0.1,
            "n": 50,
            "calibrated": True,
        }

    old = {
        "model": "assistant",
        "last_enqueued": START,
        "block_no": 1,
        "verdicts": [verdict("a", 99.0)],
    }
    new = {**old, "last_enqueued": START + timedelta(seconds=9), "block_no": 2}
    new["verdicts"] = [verdict("a", 2.0), verdict("b", 5.0), verdict("c", 1.0, 0.0), verdict("d", float("nan"))]

    (health,) = healths([window(0)], blocks=[old, new])

    assert (health.judged.column, health.judged.share, health.judged.columns) == ("b", 0.5, 2)

    for rates, column, judged in ((None, "b", 2), ([verdict("error_rate", 9.0)], "error_rate", 3)):
        (health,) = healths([window(0)], blocks=[old, new | {"rates": rates}])

        assert (health.judged.column, health.judged.columns) == (column, judged)


def test_a_model_with_an_open_incident_is_as_bad_as_the_incident(overview_of):
    assert overview_of("opened").models[0].level is Level.WATCH
    assert overview_of("confirmed").models[0].level is Level.BROKEN
    assert overview_of("closed").models[0].level is Level.OK


@given(st.integers(0, 10_000), st.integers(1, 10_000))
def test_interval_holds_the_share_and_stays_a_share(hits, n):
    hits = min(hits, n)

    told = share(hits, n, None)

    assert 0 <= told.lower <= told.value + 1e-12
    assert told.value - 1e-12 <= told.upper <= 1


@given(st.integers(1, 500), st.integers(2, 20))
def test_interval_narrows_as_n_grows(n, factor):
    few, many = share(n // 2, n, None), share(factor * (n // 2), factor * n, None)

    assert many.upper - many.lower < few.upper - few.lower
