"""Rates judged on the stream: the test of one rate, and what the watcher says of errors."""

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import replace
from datetime import timedelta
from math import asin, exp, log, sqrt
from typing import Any

import numpy as np
import pytest
from equipment.watched_stream import MODEL, SETTINGS, BatchPlan, Piece, Store, batches_of, reference, watch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from pegel.alerts.incidents import Incidents
from pegel.alerts.policy import load_policy
from pegel.schemas.grids import CATEGORICAL, MISSING_NAME, GridColumn, make_grid
from pegel.schemas.partials import Tally
from pegel.schemas.verdicts import BatchFacts, Evidence, RateVerdict
from pegel.streaming.statistics.answer_shares import FINISHED, UNKNOWN, unfinished
from pegel.streaming.statistics.counting import count, learn_grid
from pegel.streaming.statistics.rate_detector import ODDS, grown
from pegel.streaming.statistics.rate_test import RateTest, harmless_rate
from pegel.streaming.watch.rates import finish_column
from pegel.streaming.watch.reference import Comparison, Reference
from pegel.streaming.watch.watcher import Watcher, WatchOutput

_BASELINES = st.integers(50, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n - n // 10), st.just(n)))
_BLOCKS = st.lists(
    st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=1, max_size=20
)


@given(baseline=_BASELINES)
def test_harmless_rate_lies_a_dead_band_above_the_99_percent_bound(baseline: tuple[int, int]) -> None:
    hits, n = baseline
    bound, upper = harmless_rate(hits, n), float(beta.ppf(0.99, hits + 1, n - hits))
    assert hits / n < upper < bound <= 1
    if bound < 1:
        assert 2 * asin(sqrt(bound)) - 2 * asin(sqrt(upper)) == pytest.approx(0.02, rel=1e-6)


@given(baseline=_BASELINES, blocks=_BLOCKS)
def test_rate_verdict_is_what_the_definitions_say(baseline: tuple[int, int], blocks: Sequence[tuple[int, int]]) -> None:
    test = RateTest("error_rate", *baseline)
    if not test.can_judge:
        return
    sums: tuple[float, ...] = ()
    largest = 0.0
    for hits, n in blocks:
        sums = test.detector.add(sums, hits, n)
        largest = max(largest, *sums)
    found = test.judge(sums, np.array(blocks), 1e6)
    # Each block starts a gambler who splits the stake over the bets; the statistic is of what all of them hold.
    rates = [odds * test.bound / (1 - test.bound + odds * test.bound) for odds in test.detector.odds]
    held = []
    for start in range(len(blocks)):
        hits, n = sum(b[0] for b in blocks[start:]), sum(b[1] for b in blocks[start:])
        grown = [hits * log(r / test.bound) + (n - hits) * log((1 - r) / (1 - test.bound)) for r in rates]
        held.append(max(grown) + log(sum(exp(g - max(grown)) for g in grown) / len(rates)))
    # It is capped, far above any threshold.
    if largest < 1e300:
        assert found.statistic == pytest.approx(np.log1p(sum(exp(one) for one in held)), rel=1e-6, abs=1e-9)
    assert held[len(blocks) - found.lag] == pytest.approx(max(held), rel=1e-9, abs=1e-9)
    pooled = blocks[len(blocks) - found.lag :]
    assert (found.hits, found.n) == (sum(b[0] for b in pooled), sum(b[1] for b in pooled))
    assert found.rang == (found.statistic >= found.threshold)
    assert found.p_value == pytest.approx(float(binom.sf(found.hits - 1, found.n, test.bound)), rel=1e-6, abs=1e-300)
    assert found.lower <= found.hits / found.n <= found.upper


def test_a_rate_of_too_small_or_hopeless_a_baseline_is_not_judged() -> None:
    assert not RateTest("error_rate", 0, 49).can_judge
    assert not RateTest("error_rate", 60, 60).can_judge
    assert RateTest("error_rate", 0, 50).can_judge


def _errors(counts: Sequence[int], n: int = 60, version: str = "1") -> list[BatchPlan]:
    return [BatchPlan((Piece(version, n=n, failed=failed),)) for failed in counts]


def _rates(outputs: Sequence[WatchOutput]) -> list[RateVerdict]:
    return [rate for output in outputs for block in output.blocks for rate in block.rates]


def test_errors_are_judged_on_every_block_of_a_version_whose_baseline_knows_them() -> None:
    for version, judged in (("1", 5), ("2", 0), ("3", 0)):
        outputs, _ = watch(batches_of(_errors([0] * 5, version=version)))
        assert sum(len(output.blocks) for output in outputs) == 5
        assert len(_rates(outputs)) == judged


def test_errors_that_rise_ring_with_their_onset_and_those_that_fall_do_not() -> None:
    batches = batches_of(_errors([0] * 40 + [4] * 12))
    outputs, _ = watch(batches)
    rates = _rates(outputs)
    assert not any(rate.rang for rate in rates[:40])
    first = next(i for i, rate in enumerate(rates) if rate.rang)
    rang = rates[first]
    assert 43 <= first < 48
    # The two usual errors of 60 and four more, since the 41st block; its window began at most ten seconds before it.
    assert (rang.lag, rang.hits, rang.n) == (first - 39, 6 * rang.lag, 60 * rang.lag)
    assert (rang.baseline_hits, rang.baseline_n, rang.pooled_first_batch_id) == (133, 4000, 40)
    block = outputs[40].blocks[0]
    assert rang.since is not None
    assert timedelta(0) <= block.last_enqueued - rang.since <= timedelta(seconds=10)
    touched = {(p.window_start, p.window_s) for batch in batches[40 : first + 1] for p in batch.partials}
    assert rang.windows == tuple(sorted(touched))
    assert rang.windows[0] == (rang.since, 10)
    assert len(touched) > 1
    assert rang.effect == pytest.approx(2 * asin(sqrt(6 / 60)) - 2 * asin(sqrt(133 / 4000)))
    assert rang.lower < 6 / 60 < rang.upper
    assert all(rate.since is None and rate.windows == () for rate in rates if not rate.rang)
    # After the ring it starts again.
    assert rates[first + 1].lag == 1
    outputs, _ = watch(batches_of([BatchPlan((Piece(n=29),))] * 80))
    assert {(rate.hits, rate.rang) for rate in _rates(outputs)} == {(0, False)}


def test_errors_of_quiet_streams_keep_the_budget_and_a_planted_rise_is_found() -> None:
    rng = np.random.default_rng(6)
    quiet, after = 60, 25
    failed = np.concatenate([rng.binomial(60, 0.0, quiet), rng.binomial(60, 0.06, after)])
    usual = rng.binomial(60, 133 / 4000, (4, quiet + after))
    delays = []
    for stream in usual:
        # A piece has two errors of 60 by itself.
        outputs, _ = watch(batches_of(_errors([int(k) - 2 for k in stream + failed])))
        rang = [i for i, rate in enumerate(_rates(outputs)) if rate.rang]
        assert all(i >= quiet for i in rang)
        delays.append(min(rang, default=10**6) - quiet + 1)
    assert max(delays) <= 15


@pytest.mark.parametrize("n", [1, 60, 1000])
def test_a_rate_at_its_very_bound_rings_within_t_blocks_with_a_chance_of_at_most_t_over_its_run_length(n: int) -> None:
    # The worst that is harmless; blocks of any size.
    bound, streams, blocks, run_length = harmless_rate(133, 4000), 2000, 400, 2000
    rng = np.random.default_rng(n)
    sums, rang = np.zeros((streams, len(ODDS))), np.zeros(streams, dtype=bool)
    for t in range(1, blocks + 1):
        hits = rng.binomial(n, bound, streams)[:, None]
        sums = grown(bound, ODDS, sums, hits, np.full((streams, 1), n))
        rang |= sums.mean(axis=1) >= run_length
        most = t / run_length
        assert rang.mean() <= most + 4 * sqrt(most / streams)
    assert rang.any()


def test_errors_share_the_budget_with_columns_and_segments() -> None:
    outputs, _ = watch(batches_of(_errors([0] * 3)))
    plans = [BatchPlan((Piece(n=60), Piece(segment="tenant=a", n=60)))] * 3
    both, _ = watch(batches_of(plans))
    # 2 A C: so many blocks of 3 s in 30 days over 5,000 alerts, two columns and a rate; and two segments then.
    per_month = 30 * 86_400 / 3
    assert _rates(outputs)[-1].threshold == pytest.approx(log(1 + 2 * per_month / 5000 * 3))
    assert _rates(both)[-1].threshold == pytest.approx(log(1 + 2 * per_month / 5000 * 6))


def test_errors_of_final_windows_confirm_and_those_that_late_events_dilute_do_not() -> None:
    plans = _errors([0] * 12 + [4] * 9 + [0] * 12)
    for late, confirms in ((0, True), (3000, False)):
        told = list(plans)
        # Late events of the time of the errors, without any, before these windows are final.
        told[18] = BatchPlan((*told[18].pieces, *(Piece(n=late, late_s=s) for s in (9, 15, 18) if late)))
        batches = batches_of(told)
        store = Store()
        watcher = store.watcher()
        rang: list[RateVerdict] = []
        for batch in batches:
            store.add_batch(batch)
            rang += [r for r in _rates([watcher.advance(batch.batch_id, batch.partials, batch.clock)]) if r.rang]
        judged = watcher.judge_windows(Evidence("i", MODEL, "1", "*", (), rang[0].windows, ("error_rate",)))
        assert judged is not None
        (verdict,) = judged
        assert verdict.rang == confirms
        within = [p for b in batches for p in b.partials if (p.window_start, p.window_s) in rang[0].windows]
        assert len(rang[0].windows) > 1
        assert (verdict.hits, verdict.n) == tuple(sum(p.tally.counts[c] for p in within) for c in ("errors", "events"))


def test_errors_that_rise_page_a_person_by_the_shipped_policy_and_nothing_else_rings() -> None:
    incidents = Incidents(load_policy("policy.yml"))
    store = Store()
    watcher = store.watcher()
    rows = []
    for batch in batches_of(_errors([0] * 20 + [12] * 6 + [0] * 40)):
        store.add_batch(batch)
        output = watcher.advance(batch.batch_id, batch.partials, batch.clock)
        judged = {e.incident_id: watcher.judge_windows(e) for e in incidents.unconfirmed()}
        now = max(batch.clock.values())
        rows += incidents.advance(output.blocks, judged, {}, BatchFacts(batch.batch_id, now, now, now, now))
    assert [(row["rule"], row["state"], row["action"]) for row in rows] == [
        ("errors", "opened", "page"),
        ("errors", "confirmed", "page"),
        ("errors", "resolved", "none"),
    ]
    opened, confirmed, resolved = rows
    assert 20 <= opened["batch_id"] <= 22
    assert "The error_rate of assistant 1 (all traffic) is 0.233 over n = " in opened["message"]
    assert confirmed["batch_id"] > opened["batch_id"]
    # The thirty quiet blocks that the policy asks for.
    assert resolved["batch_id"] >= 26 + 29


def test_errors_are_rebuilt_as_they_were_judged() -> None:
    plans = _errors([int(k) for k in np.random.default_rng(1).binomial(60, 0.03, 50)])
    batches = batches_of(plans)
    outputs, store = watch(batches, range(0, 50, 7))
    again = store.watcher()
    rebuilt = [again.advance(b.batch_id, b.partials, b.clock) for b in batches]
    assert rebuilt == outputs
    assert max(rate.statistic for rate in _rates(rebuilt)) > 0.5


def test_watch_goes_on_from_rows_of_a_version_that_judged_no_rates() -> None:
    batches = batches_of(_errors([0] * 6 + [9] * 6))
    store = Store()

    def old(model: str, version: str) -> Reference | None:
        found = reference(model, version)
        if found is not None:
            del found.baseline.counts["answered"]
        return found

    watcher = Watcher(SETTINGS, old, load=store.load)
    for batch in batches[:6]:
        store.add_batch(batch)
        store.add(watcher.advance(batch.batch_id, batch.partials, batch.clock))
    assert not any("rates" in row["state"] for row in store.blocks)
    for row in store.blocks:
        # So they read where the table did not have the column.
        row["rates"] = None
    outputs: list[WatchOutput] = []
    watcher = store.restarted(batches[6].batch_id)
    for batch in batches[6:]:
        store.add_batch(batch)
        outputs.append(watcher.advance(batch.batch_id, batch.partials, batch.clock))
    assert [rate.lag for rate in _rates(outputs)][:2] == [1, 2]
    assert any(rate.rang for rate in _rates(outputs))


def test_error_rate_of_a_window_is_compared_with_the_baseline_that_knows_it() -> None:
    outputs, _ = watch(batches_of([BatchPlan((Piece(n=90, failed=20), Piece("2", n=90))), *_errors([0] * 8)]))
    rows = [r for output in outputs for r in output.metric_rows if r["metric"] == "error_rate" and r["window_s"] == 10]
    told: dict[str, dict[str, Any]] = {}
    for row in rows:
        told.setdefault(row["version"], row)
    known, unknown = told["1"], told["2"]
    assert known["baseline_id"] == "baseline-1"
    assert known["p_value"] < 1e-3
    assert known["effect"] == pytest.approx(2 * asin(sqrt(known["value"])) - 2 * asin(sqrt(133 / 4000)))
    assert known["calibrated"] is False
    assert (unknown["baseline_id"], unknown["p_value"], unknown["effect"]) == ("", None, None)


def _answers(version: str) -> Reference:
    """A model whose answers say how they ended; its baseline knows no refusal."""
    del version
    columns = (
        GridColumn(
            "finish", CATEGORICAL, "features.finish_reason", categories=("stop", "length", *FINISHED[1:], UNKNOWN)
        ),
    )
    names = {"stop": 2970, "length": 30, MISSING_NAME: 100}
    tally = Tally(Counter(events=3100), {}, {}, {"finish": Counter(names)})
    return Reference(make_grid(MODEL, columns), tally, "b")


class _AnswerStore(Store):
    def watcher(self) -> Watcher:
        return Watcher(SETTINGS, lambda _model, version: _answers(version), load=self.load, alerts_per_month=5000.0)


def _answering(told: Sequence[dict[str, int]], restarts: Container[int] = ()) -> tuple[list[WatchOutput], Watcher]:
    """A stream of micro-batches of 100 events whose answers ended so; before some it is a new process."""
    store, outputs = _AnswerStore(), []
    watcher = store.watcher()
    batches = batches_of(_errors([0] * len(told), n=100))
    for batch, names in zip(batches, told, strict=True):
        (partial,) = batch.partials
        tally = Tally(Counter(events=100), {}, {}, {"finish": Counter(names)})
        partials = [replace(partial, grid=_answers("1").grid.grid, tally=tally)]
        if batch.batch_id in restarts:
            watcher = store.restarted(batch.batch_id)
        store.add_batch(replace(batch, partials=partials))
        outputs.append(watcher.advance(batch.batch_id, partials, batch.clock))
        store.add(outputs[-1])
    return outputs, watcher


def test_a_restart_after_a_block_that_says_nothing_changes_nothing() -> None:
    said = {"stop": 85, "length": 1, "__other__": 14}
    told = [{"stop": 99, "length": 1}] * 3 + [said, {MISSING_NAME: 100}] + [said, {MISSING_NAME: 100}] * 5
    outputs, _ = _answering(told)
    assert any(rate.rang for rate in _rates(outputs))
    assert _answering(told, restarts=range(1, len(told)))[0] == outputs


def test_a_grid_knows_each_good_end_by_name_though_the_baseline_never_saw_it() -> None:
    grid = learn_grid(MODEL, [GridColumn("finish", CATEGORICAL, "features.finish_reason")], {"finish": ["stop"] * 3})
    assert finish_column(grid.columns) == "finish"
    live = count({"finish": ["stop", "tool_calls", "unknown", "length"]}, grid)
    assert unfinished(live.categories["finish"]) == (1, 3)
    assert finish_column([replace(grid.columns[0], categories=("stop", "length"))]) is None


def test_answers_that_do_not_end_by_themselves_are_a_rate_of_those_that_say_how_they_ended() -> None:
    # A block without an answer that says so is passed over; a refusal has no name on this grid.
    told = [{"stop": 99, "length": 1}] * 6 + [{MISSING_NAME: 100}] + [{"stop": 85, "length": 1, "__other__": 14}] * 9
    outputs, watcher = _answering(told)
    rates = {output.blocks[0].block_no: output.blocks[0].rates for output in outputs}
    assert [no for no, found in rates.items() if not found] == [6]
    assert {rate.column for found in rates.values() for rate in found} == {"unfinished_rate"}
    rang = [no for no, found in rates.items() if found and found[0].rang]
    assert 7 <= rang[0] <= 9
    (first,) = rates[rang[0]]
    assert (first.hits, first.n) == (15 * (rang[0] - 6), 100 * (rang[0] - 6))
    assert (first.baseline_hits, first.baseline_n) == (30, 3000)
    evidence = Evidence("i", MODEL, "1", "*", (), first.windows, ("unfinished_rate",))
    (judged,) = watcher.judge_windows(evidence) or ()
    assert judged.rang
    rows = [r for output in outputs for r in output.metric_rows if r["metric"] == "unfinished_rate"]
    assert rows
    assert rows[0]["value"] == pytest.approx(0.01)
    assert (rows[0]["baseline_id"], rows[0]["column"]) == ("b", "")
    assert rows[0]["p_value"] > 0.5


def test_counts_of_errors_do_not_depend_on_the_grid() -> None:
    whole, _ = watch(batches_of(_errors([5] * 4)))
    batches = batches_of(_errors([5] * 4))
    for batch in batches:
        batch.partials[:] = [replace(p, grid="another") if i == 0 else p for i, p in enumerate(batch.partials)]
    moved, _ = watch(batches)
    assert [(r.hits, r.n) for r in _rates(moved)] == [(r.hits, r.n) for r in _rates(whole)]
    assert Comparison(reference(MODEL, "1") or pytest.fail("no reference")).rates.keys() == {"error_rate"}
