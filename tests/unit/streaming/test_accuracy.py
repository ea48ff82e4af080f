"""Accuracy judged by labels that come late: when a window is judged, what rings, and what a person is told."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from math import asin, sqrt
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from equipment.watched_stream import (
    MODEL,
    SETTINGS,
    START,
    Batch,
    BatchPlan,
    Piece,
    Store,
    batches_of,
    profile_row,
    reference,
    watch,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pegel.alerts.explanation import Story, explain
from pegel.alerts.incidents import Incidents
from pegel.alerts.policy import load_policy
from pegel.schemas.partials import BACKFILL, FEEDBACK_KIND
from pegel.schemas.policy import Action, Policy
from pegel.schemas.tables import METRICS
from pegel.schemas.verdicts import BatchFacts, WindowVerdict
from pegel.streaming.statistics.alarm import level
from pegel.streaming.watch.history import History
from pegel.streaming.watch.judging import alpha_of
from pegel.streaming.watch.labelled import LabelledWindow, LabelledWindows
from pegel.streaming.watch.reference import Comparison
from pegel.streaming.watch.watcher import WatchOutput
from pegel.tables.delta import DeltaTables

KNOWS = "4"
"""The version whose baseline knows that 92 % of its answers were right."""
WAIT_S = SETTINGS.label_wait_hours * 3600


def _labels(n: int, wrong: int, late_s: int = 0) -> Piece:
    return Piece(KNOWS, kind=FEEDBACK_KIND, n=n, wrong=wrong, late_s=late_s)


def _minutes(wrong: Sequence[int], labelled: int = 100, events: int = 100, late_s: int = 90) -> list[BatchPlan]:
    """One micro-batch a minute, with the labels of events of some time before."""
    plans = []
    for count in wrong:
        pieces = [Piece(KNOWS, n=events)]
        if len(plans) >= late_s // 60:
            pieces.append(_labels(labelled, count, late_s=late_s - late_s % 60))
        plans.append(BatchPlan(tuple(pieces), seconds=60))
    return plans


def _judged(outputs: Iterable[WatchOutput]) -> list[WindowVerdict]:
    return [window for output in outputs for window in output.windows]


def _starts(windows: Iterable[WindowVerdict]) -> list[int]:
    return [int((window.window_start - START).total_seconds()) for window in windows]


_WINDOWS = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.sampled_from((0, 1, 10, 50)),
        st.sampled_from((0, 0, 1, 5, 10, 40)),
        st.sampled_from((1, 1, 5)),
    ),
    min_size=1,
    max_size=40,
)


@given(told=_WINDOWS, completeness=st.sampled_from((0.2, 0.5, 1.0)))
def test_each_labelled_window_is_judged_once_in_order_and_none_before_it_is_final(
    told: list[tuple[int, int, int, int]], completeness: float
) -> None:
    key, length = (MODEL, KNOWS, "*"), timedelta(seconds=60)
    wait = timedelta(minutes=5)
    windows = LabelledWindows(60, completeness, wait)
    mark, found = START, []
    excused, with_label = set(), set()
    for i, (minute, events, labelled, step) in enumerate(told):
        (batch,) = batches_of([BatchPlan((Piece(KNOWS, n=events), _labels(labelled, 0)))], first_id=i)
        start = START + minute * length
        partials = [replace(partial, window_start=start) for partial in batch.partials]
        before, mark = mark, mark + step * length / 4
        if start + length + wait <= before or (found and start <= found[-1]):
            # Its labels, or events, are too late for it.
            excused.add(start)
        elif labelled:
            with_label.add(start)
        for window in windows.due(windows.add(partials, before), mark, lambda _key: True):
            assert window.key == key
            assert window.start + length <= mark
            assert window.labelled > 0
            found.append(window.start)
    assert found == sorted(set(found))
    # Long after, all that have a label and came in time have been judged, and nothing waits any more.
    found += [window.start for window in windows.due(set(), mark + timedelta(hours=1), lambda _key: True)]
    assert found == sorted(set(found))
    assert with_label - excused <= set(found) <= with_label
    assert not list(windows.due(set(), mark + timedelta(hours=2), lambda _key: True))
    assert windows.waiting == 0


def test_windows_that_cannot_be_judged_yet_are_gone_through_once_a_window_and_those_that_never_can_are_let_go() -> None:
    windows = LabelledWindows(60, 0.5, timedelta(hours=1))
    pieces = tuple(Piece(f"v{i}") for i in range(20))
    (batch,) = batches_of([BatchPlan(pieces)])
    labelled = windows.add(batch.partials, START)
    with patch.object(LabelledWindows, "_due", autospec=True, side_effect=LabelledWindows._due) as gone_through:
        for second in range(0, 60, 3):
            assert not list(windows.due(labelled, START + timedelta(seconds=second), lambda _key: False))
    assert gone_through.call_count == len(pieces)
    assert windows.waiting == len(pieces)
    # As soon as one can be judged it is looked at, and those of the others are held no longer than it is unknown.
    never = {"v0", "v1"}
    assert not list(windows.due(set(), START + timedelta(seconds=58), lambda key: None if key[1] in never else False))
    assert windows.waiting == len(pieces) - len(never)
    (labels,) = batches_of([BatchPlan((Piece("v7", kind=FEEDBACK_KIND, n=30),))], first_id=1)
    labelled = windows.add(labels.partials, START)
    assert not list(windows.due(labelled, START + timedelta(seconds=61), lambda _key: False))
    found = list(windows.due(set(), START + timedelta(seconds=62), lambda _key: True))
    assert [(window.key[1], window.labelled) for window in found] == [("v7", 30)]


def test_of_a_version_whose_baseline_knows_no_accuracy_nothing_waits_for_labels_after_a_restart_either() -> None:
    batches = batches_of([BatchPlan((Piece("1", n=100), Piece(KNOWS, n=100)), seconds=60)] * 4)
    for restarts in ((), (3,)):
        store, watcher = Store(), Store().watcher()
        for i, batch in enumerate(batches):
            store.add_batch(batch)
            watcher = store.restarted(batch.batch_id) if i in restarts else watcher
            store.add(watcher.advance(batch.batch_id, batch.partials, batch.clock))
        # The four of the version that can be judged.
        assert watcher.waiting_for_labels == 4


def test_a_window_is_judged_once_enough_of_its_events_have_a_label() -> None:
    # 60 % are asked for; nothing comes after the 59th label, which is not enough.
    for labelled, judged in ((59, []), (60, [0])):
        plans = [BatchPlan((Piece(KNOWS, n=100),), seconds=60), BatchPlan((), seconds=30)]
        plans += [BatchPlan((_labels(labelled, 3, late_s=90),)), BatchPlan((), seconds=60)]
        outputs, _ = watch(batches_of(plans))
        assert _starts(_judged(outputs)) == judged
    (window,) = _judged(outputs)
    (verdict,) = window.rates
    assert (verdict.column, verdict.hits, verdict.n, verdict.label_completeness) == ("accuracy", 3, 60, 0.6)
    assert (verdict.baseline_hits, verdict.baseline_n, window.baseline_id) == (320, 4000, "baseline-4")
    assert (window.first_batch_id, window.last_batch_id) == (0, 2)


def test_a_window_waits_until_no_event_of_it_can_come_on_time() -> None:
    plans = [BatchPlan((Piece(KNOWS, n=100), _labels(100, 3)), seconds=64), BatchPlan((), seconds=1), BatchPlan(())]
    outputs, _ = watch(batches_of(plans))
    # The lateness is five seconds.
    assert [len(output.windows) for output in outputs] == [0, 0, 1]


def test_events_that_never_get_a_label_hold_nothing_up() -> None:
    # Nobody labels the second minute: two minutes together are half labelled, three are two thirds.
    plans = _minutes([5] * 12)
    plans[3] = BatchPlan((Piece(KNOWS, n=100),), seconds=60)
    outputs, _ = watch(batches_of(plans))
    starts = _starts(_judged(outputs))
    silent = _starts(_judged(watch(batches_of(_minutes([5] * 12)))[0]))
    assert len(starts) == len(silent) - 1
    assert set(starts) < set(silent)


def test_labels_are_waited_for_and_what_they_are_then_is_judged() -> None:
    wait = int(WAIT_S)
    plans = [BatchPlan((Piece(KNOWS, n=100),), seconds=60), BatchPlan((Piece(KNOWS, n=100), _labels(7, 2, late_s=60)))]
    plans += [BatchPlan((), seconds=30)] * (wait // 30 + 10)
    plans += [BatchPlan((_labels(90, 90, late_s=wait + 120),))]
    outputs, _ = watch(batches_of(plans))
    at = [(i, window) for i, output in enumerate(outputs) for window in output.windows]
    # The window without a label is never judged, nor are labels that come after the wait.
    assert _starts(window for _, window in at) == [0]
    ((i, window),) = at
    assert (window.rates[0].n, window.rates[0].hits, window.rates[0].label_completeness) == (7, 2, 0.07)
    now = max(batches_of(plans)[i].clock.values())
    assert timedelta(seconds=wait + 65) <= now - START < timedelta(seconds=wait + 65 + 60)


def test_what_comes_from_files_or_before_a_judged_window_is_not_judged() -> None:
    plans = _minutes([5] * 8)
    plans[5] = BatchPlan((*plans[5].pieces, Piece(KNOWS, late_s=300, n=1), _labels(1, 1, late_s=300)), seconds=60)
    old = (Piece(KNOWS, kind=BACKFILL, late_s=240, n=50), _labels(50, 50, late_s=240))
    with_old = [BatchPlan((*plans[0].pieces, *old), seconds=60), *plans[1:]]
    assert _starts(_judged(watch(batches_of(with_old))[0])) == _starts(_judged(watch(batches_of(_minutes([5] * 8)))[0]))


def test_a_loss_of_accuracy_rings_with_its_onset_and_a_gain_does_not() -> None:
    outputs, _ = watch(batches_of(_minutes([8] * 30 + [0] * 20 + [22] * 12)))
    windows = _judged(outputs)
    rang = [i for i, window in enumerate(windows) if window.rates[0].rang]
    assert rang[0] >= 50
    first = windows[rang[0]].rates[0]
    assert first.lag <= 6
    assert (first.hits, first.n) == (22 * first.lag, 100 * first.lag)
    assert first.since == windows[49].window_start
    assert first.windows == tuple((w.window_start, 60) for w in windows[49 : rang[0] + 1])
    assert first.pooled_first_batch_id == windows[49].first_batch_id
    assert first.effect == pytest.approx(2 * asin(sqrt(0.22)) - 2 * asin(sqrt(0.08)))
    # After the ring it starts again.
    assert windows[rang[0] + 1].rates[0].lag == 1
    assert windows[rang[0] + 1].rates[0].statistic < first.statistic


def test_a_correction_restates_the_metric_and_never_rings() -> None:
    plans = _minutes([8] * 12)
    # All answers of an early minute turn out to be wrong, long after it was judged.
    plans[10] = BatchPlan((*plans[10].pieces, Piece(KNOWS, kind=FEEDBACK_KIND, n=0, wrong=92, late_s=480)), seconds=60)
    outputs, _ = watch(batches_of(plans))
    about = START + timedelta(seconds=120)
    assert not any(window.rates[0].rang for window in _judged(outputs))
    assert _starts(_judged(outputs)).count(120) == 1
    told = [
        row["value"]
        for output in outputs
        for row in output.metric_rows
        if (row["metric"], row["window_start"], row["window_s"]) == ("accuracy", about, 60)
    ]
    assert told[-1] == 0.0
    assert told[0] == pytest.approx(0.92)
    judged = [
        r for o in outputs for r in o.metric_rows if r["metric"] == "judged_accuracy" if r["window_start"] == about
    ]
    assert [row["value"] for row in judged] == [pytest.approx(0.92)]


def test_quiet_accuracy_keeps_silent_and_a_fall_from_92_to_87_percent_is_found() -> None:
    rng = np.random.default_rng(12)
    delays = []
    for _ in range(3):
        wrong = np.concatenate([rng.binomial(100, 0.08, 60), rng.binomial(100, 0.13, 40)])
        windows = _judged(watch(batches_of(_minutes(wrong.tolist())))[0])
        rang = [i for i, window in enumerate(windows) if window.rates[0].rang]
        assert all(i >= 60 for i in rang)
        delays.append(100 * (min(rang, default=10**6) - 59))
    # The baseline has 4,000 answers only, so that 0.908 is harmless yet.
    assert sorted(delays)[1] <= 2000


def test_only_versions_whose_baseline_knows_how_often_they_are_right_are_judged() -> None:
    plans = [BatchPlan((*(Piece(v, n=100) for v in "124"), _labels(100, 5)), seconds=30)] * 2
    plans += [BatchPlan((Piece("1", kind=FEEDBACK_KIND, n=90, late_s=60),), seconds=30)] * 3
    assert {window.version for window in _judged(watch(batches_of(plans))[0])} == {KNOWS}


def test_a_segment_is_not_judged_by_the_baseline_of_the_whole_and_shares_no_budget_of_accuracy() -> None:
    plans = _minutes([8] * 20)
    # A segment that was always right in 60 % only.
    hard = [(Piece(KNOWS, "tenant=a", n=50), Piece(KNOWS, "tenant=a", FEEDBACK_KIND, n=50, wrong=20, late_s=60))] * 20
    outputs, _ = watch(
        batches_of([BatchPlan((*p.pieces, *more), seconds=60) for p, more in zip(plans, hard, strict=True)])
    )
    assert {window.segment for window in _judged(outputs)} == {"*"}
    knows, without = (Comparison(found) for v in (KNOWS, "1") if (found := reference(MODEL, v)) is not None)
    columns = len(without.watched) + len(without.rates)
    assert alpha_of(without, 1000.0, 3) == level(1000.0, 3 * columns)
    assert alpha_of(knows, 1000.0, 3) == level(1000.0, 3 * columns + 1)


def _story() -> list[BatchPlan]:
    """Labels late, corrected, missing, behind the wait, and enough of them wrong to ring twice."""
    rng = np.random.default_rng(3)
    plans = []
    for i, wrong in enumerate([*rng.binomial(60, 0.08, 25), *rng.binomial(60, 0.25, 10), *rng.binomial(60, 0.08, 25)]):
        pieces = [Piece(KNOWS, n=40), Piece(KNOWS, "tenant=a", n=20), Piece(KNOWS, n=20, late_s=9)]
        if i >= 3 and i % 7:
            # The last ones are never complete.
            labelled = 60 if i < 38 else 15
            pieces.append(_labels(labelled, min(labelled, int(wrong)), late_s=125))
        if i % 3 == 0:
            pieces.append(Piece(KNOWS, "tenant=a", FEEDBACK_KIND, n=11, wrong=i % 2, late_s=400 if i % 2 else 70))
        if i % 10 == 9:
            pieces.append(Piece(KNOWS, kind=FEEDBACK_KIND, n=0, wrong=-1, late_s=180))
            pieces.append(Piece(KNOWS, n=3, late_s=240))
        plans.append(BatchPlan(tuple(pieces), seconds=45, ids=10**9 if i == 30 else 1))
    return plans


def test_judged_windows_go_on_after_a_restart_before_any_batch() -> None:
    batches = batches_of(_story())
    steady, _ = watch(batches)
    assert watch(batches, range(len(batches)))[0] == steady
    windows = _judged(steady)
    assert sum(window.rates[0].rang for window in windows) >= 2
    assert {window.segment for window in windows} == {"*"}
    assert any(window.rates[0].lag > 1 for window in windows if window.rates[0].rang)
    # Some are judged together, and some by the end of the wait.
    assert any(len(output.windows) > 1 for output in steady)
    assert any(window.rates[0].label_completeness < SETTINGS.label_completeness for window in windows)


def test_tables_give_back_what_waits_and_what_was_judged(tmp_path: Any) -> None:
    batches = batches_of(_story())
    outputs, store = watch(batches)
    tables = DeltaTables(str(tmp_path))
    tables.append("profiles", [profile_row(p) for batch in batches for p in batch.partials])
    tables.append("metrics", [row for output in outputs for row in output.metric_rows])
    history, before = History(tables), batches[40].batch_id
    since = START + timedelta(seconds=600)

    def in_order(windows: Iterable[LabelledWindow]) -> list[LabelledWindow]:
        return sorted(windows, key=lambda window: (window.key, window.start))

    assert in_order(history.labelled(since, before, 60)) == in_order(store.labelled(since, before, 60))
    names = ("model", "version", "segment", "window_start", "n", "baseline_id", "judged")
    stored = [{name: row[name] for name in names} for row in history.judged(before)]
    expected = [{name: row[name] for name in names} for row in store.judged if row["batch_id"] < before]
    assert len(stored) == len(expected) > 20
    for rows in (stored, expected):
        rows.sort(key=lambda row: (row["segment"], row["window_start"]))
    assert stored == expected
    later = [row["window_start"] for row in history.judged_between(before, 2**62)]
    assert sorted(later) == sorted(row["window_start"] for row in store.judged if row["batch_id"] >= before)


def _told(
    batches: Sequence[Batch], restarts: Iterable[int] = (), policy: Policy | None = None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of ``alerts`` and of judged windows; before some micro-batches the incidents are read again."""
    policy, store, rows = policy or load_policy("policy.yml"), Store(), []
    incidents, blocks, windows = Incidents(policy), [], []
    watcher = store.watcher()
    for i, batch in enumerate(batches):
        store.add_batch(batch)
        if i in restarts:
            watcher, incidents = store.restarted(batch.batch_id), Incidents(policy)
            incidents.restore(rows, blocks, window_rows=windows)
        output = watcher.advance(batch.batch_id, batch.partials, batch.clock)
        store.add(output)
        judged = {e.incident_id: watcher.judge_windows(e) for e in incidents.unconfirmed()}
        now = max(batch.clock.values())
        facts = BatchFacts(batch.batch_id, now, now, now, now)
        rows += incidents.advance([*output.blocks, *output.windows], judged, {}, facts, watcher.symptoms)
        blocks += output.block_rows
        windows += [row for row in output.metric_rows if row["metric"] == "judged_accuracy"]
    return rows, windows


def test_a_loss_of_accuracy_pages_by_the_shipped_policy_until_labels_are_good_again() -> None:
    batches = batches_of(_minutes([8] * 20 + [25] * 4 + [6] * 45))
    rows, windows = _told(batches)
    assert [(row["rule"], row["state"], row["action"]) for row in rows] == [
        ("accuracy", "opened", "page"),
        ("accuracy", "confirmed", "page"),
        ("accuracy", "resolved", "none"),
    ]
    opened, confirmed, resolved = rows
    assert opened["title"] == "A loss of accuracy in assistant 4: accuracy"
    assert "The accuracy of assistant 4 (all traffic) is 0.75 over n = " in opened["message"]
    assert "has 0.92 of n = 4000 and allows no less than 0.9" in opened["message"]
    assert "100% of the events of these windows have a label" in confirmed["message"]
    assert (opened["runbook"], opened["since"]) == ("accuracy.md", confirmed["since"])
    assert {w["window_s"] for w in opened["windows"]} == {60}
    # The thirty quiet windows that the policy asks for.
    assert resolved["batch_id"] >= confirmed["batch_id"] + 29
    assert "30 labelled windows in a row of version 4 were quiet" in resolved["message"]
    for restarts in ({21}, {24}, set(range(len(batches)))):
        assert _told(batches, restarts)[0] == rows
    story = explain(Story(rows, windows=[row for row in windows if row["batch_id"] == opened["batch_id"]]))
    assert "accuracy in all traffic, effect " in story
    assert ", 0.75 where at least 0.9" in story
    assert "100% labelled" in story


def test_a_loss_of_accuracy_retrains_where_the_policy_says_so_once_it_is_confirmed() -> None:
    shipped = load_policy("policy.yml")
    rules = tuple(replace(r, action=Action.RETRAIN) if r.name == "accuracy" else r for r in shipped.rules)
    rows, _ = _told(batches_of(_minutes([8] * 20 + [25] * 10)), policy=replace(shipped, rules=rules))
    assert [(row["state"], row["action"]) for row in rows] == [("opened", "retrain"), ("confirmed", "retrain")]
    assert "a retraining starts by itself" in rows[0]["message"]


def test_a_loss_that_corrected_labels_take_back_is_retracted() -> None:
    plans = _minutes([8] * 20 + [30] * 6 + [8] * 6)
    opened = next(row for row in _told(batches_of(plans))[0] if row["state"] == "opened")
    at, since = opened["batch_id"], opened["since"]
    # In the very next micro-batch the labels of these windows are corrected.
    windows = [int((w["start"] - START).total_seconds()) for w in opened["windows"]]
    mended = [Piece(KNOWS, kind=FEEDBACK_KIND, n=0, wrong=-26, late_s=60 * (at + 1) - start) for start in windows]
    plans[at + 1] = BatchPlan((*plans[at + 1].pieces, *mended), seconds=60)
    states = [(row["state"], row["since"]) for row in _told(batches_of(plans))[0]]
    assert states[:2] == [("opened", since), ("retracted", since)]


def test_row_of_a_judged_window_fills_its_columns() -> None:
    outputs, _ = watch(batches_of(_minutes([8] * 6)))
    row = next(r for output in outputs for r in output.metric_rows if r["metric"] == "judged_accuracy")
    assert set(row) == set(METRICS.names)
    assert (row["value"], row["n"], row["label_completeness"]) == (0.92, 100, 1.0)
    assert row["lower"] < 0.92 < row["upper"]
    assert row["p_value"] == pytest.approx(1.0, abs=0.1)
    assert row["effect"] == pytest.approx(0.0, abs=1e-9)


@settings(max_examples=15)
@given(wrong=st.lists(st.integers(0, 100), min_size=1, max_size=12), restart=st.integers(0, 12))
def test_a_replay_rings_as_the_first_time(wrong: list[int], restart: int) -> None:
    batches = batches_of(_minutes(wrong, late_s=60))
    first, _ = watch(batches)
    again, _ = watch(batches, {min(restart, len(batches) - 1)})
    assert again == first
