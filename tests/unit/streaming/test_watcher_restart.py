"""A stopped watch continues from the tables as if it had never stopped: what the kill tests rest on."""

from datetime import timedelta

import pytest
from equipment.watched_stream import BatchPlan, Piece, Store, batches_of, watch
from hypothesis import given, settings
from hypothesis import strategies as st

from pegel.errors import ContractError
from pegel.schemas.partials import BACKFILL, FEEDBACK_KIND, LIVE
from pegel.schemas.verdicts import Evidence

_LATE = st.sampled_from((0, 0, 0, 1, 4, 9, 15, 40, 130, 700))
_PIECES = st.one_of(
    st.builds(
        Piece,
        version=st.sampled_from("1112223444"),
        segment=st.sampled_from(("*", "*", "tenant=a")),
        kind=st.sampled_from((LIVE, LIVE, LIVE, BACKFILL)),
        late_s=_LATE,
        n=st.sampled_from((1, 7, 30, 61, 90)),
        shift=st.sampled_from((0, 0, 40, 200)),
        failed=st.sampled_from((0, 0, 0, 4, 60)),
    ),
    st.builds(
        lambda counts, **about: Piece(kind=FEEDBACK_KIND, n=counts[0], wrong=counts[1], **about),
        version=st.sampled_from("12444"),
        late_s=_LATE,
        counts=st.sampled_from(((0, -1), (0, 1), (1, 0), (5, 2), (40, 2), (40, 30))),
    ),
)
_PLANS = st.lists(
    st.builds(
        BatchPlan,
        pieces=st.lists(_PIECES, max_size=5).map(tuple),
        seconds=st.sampled_from((1, 3, 3, 7, 12, 40, 900)),
        ids=st.sampled_from((1, 1, 1, 5, 10**9)),
        partitions=st.sampled_from((("0", "1"), ("0",), ("1",), ())),
    ),
    min_size=2,
    max_size=16,
)


@settings(max_examples=150)
@given(plans=_PLANS, data=st.data())
def test_restart_changes_nothing(plans: list[BatchPlan], data: st.DataObject) -> None:
    batches = batches_of(plans)
    restarts = data.draw(st.sets(st.integers(0, len(batches) - 1), min_size=1))
    assert watch(batches, restarts)[0] == watch(batches)[0]


def _long_story() -> list[BatchPlan]:
    """Quiet, then drift with late events, errors, labels with corrections, a silent partition and a pause."""
    plans = []
    for i in range(150):
        shift = 90 if 80 <= i < 110 else 0
        pieces = [
            Piece("1", "*", n=31, shift=shift, failed=5 if 120 <= i < 140 else 0),
            Piece("1", "tenant=a", n=17, shift=shift),
            Piece("1", "*", late_s=9, n=5, shift=shift),
            Piece("2", "*", n=9),
            Piece("3", "*", n=25),
        ]
        if i % 4 == 0:
            pieces += [Piece(kind=FEEDBACK_KIND, late_s=20, n=6, wrong=i % 3)]
        if i % 10 == 9:
            pieces += [Piece("1", "*", late_s=90, n=3), Piece(kind=FEEDBACK_KIND, late_s=45, n=0, wrong=-1)]
        if i % 30 == 29:
            pieces += [Piece("1", "tenant=a", BACKFILL, late_s=3000, n=40), Piece("2", "*", late_s=1500, n=2)]
        partitions = ("0",) if 40 <= i < 60 else ("0", "1")
        plans.append(
            BatchPlan(tuple(pieces), seconds=200 if i == 100 else 3, ids=10**9 if i == 70 else 1, partitions=partitions)
        )
    return plans


def test_restart_before_every_batch_changes_nothing() -> None:
    batches = batches_of(_long_story())
    steady, _ = watch(batches)
    assert watch(batches, range(len(batches)))[0] == steady
    # The story is worth telling: blocks ring, lags start again, windows are revised, blocks hold several batches.
    blocks = [block for output in steady for block in output.blocks]
    rows = [row for output in steady for row in output.metric_rows]
    assert {b.version for b in blocks if b.rang} == {"1"}
    assert any(column.lag > 1 for b in blocks if b.rang for column in b.columns)
    assert any(rate.lag > 1 for b in blocks for rate in b.rates if rate.rang)
    assert max(b.block_no for b in blocks) > 64
    assert any(b.last_batch_id > b.first_batch_id + 1 for b in blocks)
    names = [tuple(r[k] for k in ("version", "segment", "column", "metric", "window_start", "window_s")) for r in rows]
    assert len(set(names)) < len(names)


def test_restart_passes_over_what_a_killed_batch_left_behind() -> None:
    batches = batches_of(_long_story()[:40])
    steady, store = watch(batches)
    for i in (5, 20, 33):
        # The rows of this and later micro-batches are there already.
        again = store.restarted(batches[i].batch_id)
        assert again.advance(batches[i].batch_id, batches[i].partials, batches[i].clock) == steady[i]


def test_restart_judges_windows_as_before() -> None:
    batches = batches_of(_long_story()[:100])
    *past, coming = batches
    _, store = watch(past)
    live = store.watcher()
    for batch in past:
        live.advance(batch.batch_id, batch.partials, batch.clock)
    restarted = store.restarted(coming.batch_id)
    final = max(past[-1].clock.values()) - timedelta(seconds=5)
    newest = max(p.window_start for p in past[-1].partials)
    for back in (0, 10, 20, 30, 60, 190):
        windows = tuple((newest - timedelta(seconds=back + more), 10) for more in (10, 0))
        rates = Evidence("i", "assistant", "1", "*", (), windows, ("error_rate",))
        assert restarted.judge_windows(rates) == live.judge_windows(rates)
        judged = live.judge_windows(Evidence("i", "assistant", "1", "*", ("x", "output"), windows))
        assert restarted.judge_windows(Evidence("i", "assistant", "1", "*", ("x", "output"), windows)) == judged
        evidence = Evidence("i", "assistant", "1", "*", ("x",), windows)
        assert restarted.symptoms(evidence) == live.symptoms(evidence)
        assert (judged is None) == (windows[1][0] + timedelta(seconds=10) > final)
        # The drift began 20 batches of 3 s ago; the final windows say what the blocks said.
        if judged:
            assert {v.column for v in judged if v.rang} == ({"x"} if back < 60 else set())


def test_watcher_refuses_a_batch_twice() -> None:
    (batch,) = batches_of([BatchPlan((Piece(),))])
    store = Store()
    watcher = store.watcher()
    watcher.advance(batch.batch_id, batch.partials, batch.clock)
    with pytest.raises(ContractError, match="does not follow"):
        watcher.advance(batch.batch_id, batch.partials, batch.clock)
