"""Blocks hold every live event once and never change; windows are sums, whatever the order and the split."""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from equipment.watched_stream import (
    COLUMNS,
    GRID,
    MODEL,
    SETTINGS,
    START,
    Batch,
    BatchPlan,
    Piece,
    batches_of,
    merged,
    watch,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pegel.errors import ContractError
from pegel.schemas.partials import BACKFILL, EVENTS, FEEDBACK_KIND, LIVE, Partial, Tally
from pegel.streaming.watch.blocks import Block, BlockStreams
from pegel.streaming.watch.watermark import Watermark

_LATE = st.sampled_from((0, 0, 1, 4, 9, 15, 40, 130, 700))
_EVENTS = st.builds(
    Piece,
    version=st.sampled_from("123"),
    segment=st.sampled_from(("*", "tenant=a")),
    kind=st.sampled_from((LIVE, LIVE, BACKFILL)),
    late_s=_LATE,
    n=st.integers(1, 90),
    shift=st.sampled_from((0, 40, 200)),
)
_LABELS = st.builds(Piece, kind=st.just(FEEDBACK_KIND), late_s=_LATE, n=st.integers(0, 5), wrong=st.integers(-1, 2))
_PLANS = st.lists(
    st.builds(
        BatchPlan,
        pieces=st.lists(st.one_of(_EVENTS, _LABELS), max_size=6).map(tuple),
        seconds=st.sampled_from((1, 3, 3, 7, 12, 40)),
        ids=st.sampled_from((1, 5)),
    ),
    min_size=1,
    max_size=14,
)


def _span(batches: list[Batch], first: int, last: int) -> timedelta:
    """Between the enqueued times of all live events of micro-batches ``first`` to ``last``."""
    live = [p for b in batches if first <= b.batch_id <= last for p in b.partials if p.kind == LIVE]
    return max(p.last_enqueued for p in live) - min(p.first_enqueued for p in live)


@settings(max_examples=100)
@given(plans=_PLANS)
def test_blocks_hold_every_live_event_once(plans: list[BatchPlan]) -> None:
    batches = batches_of(plans)
    outputs, _ = watch(batches)
    arrived: dict[tuple, dict[int, int]] = {}
    for batch in batches:
        for p in batch.partials:
            if p.kind == LIVE:
                counts = arrived.setdefault((p.model, p.version, p.segment), {})
                counts[batch.batch_id] = counts.get(batch.batch_id, 0) + p.tally.n
    for key, counts in arrived.items():
        blocks = [b for output in outputs for b in output.blocks if (b.model, b.version, b.segment) == key]
        assert [b.block_no for b in blocks] == list(range(len(blocks)))
        left = dict(counts)
        for block in blocks:
            inside = [i for i in left if i <= block.last_batch_id]
            assert block.first_batch_id == min(inside)
            assert block.n == sum(left.pop(i) for i in inside)
            assert block.n >= SETTINGS.block_min_events or _span(
                batches, block.first_batch_id, block.last_batch_id
            ) >= timedelta(seconds=SETTINGS.block_max_seconds)
        # What is left is too little for a block.
        assert sum(left.values()) < SETTINGS.block_min_events


@settings(max_examples=60)
@given(plans=_PLANS, random=st.randoms(use_true_random=False))
def test_order_of_partials_within_a_batch_does_not_matter(plans: list[BatchPlan], random: Any) -> None:
    batches = batches_of(plans)
    shuffled = [replace(b, partials=random.sample(b.partials, len(b.partials))) for b in batches]
    assert watch(shuffled)[0] == watch(batches)[0]


def test_closed_block_never_changes() -> None:
    streams = BlockStreams(min_events=60, max_seconds=10.0)
    closed: list[tuple[Block, Block]] = []
    for batch in batches_of([BatchPlan((Piece(n=35), Piece(segment="tenant=a", n=20)))] * 30):
        streams.feed(batch.batch_id, batch.partials)
        for key in streams.ripe():
            block = streams.close(key, batch.batch_id, None)
            closed.append((block, replace(block, bins={k: v.copy() for k, v in block.bins.items()})))
    assert len(closed) > 20
    for block, copy in closed:
        for name in ("key", "block_no", "first_batch_id", "last_batch_id", "n", "last_enqueued", "windows", "grid"):
            assert getattr(block, name) == getattr(copy, name)


def test_live_partial_without_enqueued_times_is_refused() -> None:
    (batch,) = batches_of([BatchPlan((Piece(),))])
    with pytest.raises(ContractError, match="no enqueued times"):
        BlockStreams(60, 10.0).feed(0, [replace(batch.partials[0], first_enqueued=None)])


def test_block_that_is_not_open_cannot_close() -> None:
    streams = BlockStreams(60, 10.0)
    streams.feed(0, batches_of([BatchPlan((Piece(n=60),))])[0].partials)
    streams.close((MODEL, "1", "*"), 0, None)
    with pytest.raises(ContractError, match="no block"):
        streams.close((MODEL, "1", "*"), 0, None)


def _last_numbers(batches: list[Batch]) -> dict[tuple, dict[str, Any]]:
    """The newest revision of every number, once every window is final."""
    end = START + timedelta(days=2)
    closing = Batch(10**6, [], {("predictions", p): end for p in ("0", "1")})
    numbers: dict[tuple, dict[str, Any]] = {}
    for output in watch([*batches, closing])[0]:
        for row in output.metric_rows:
            key = tuple(row[k] for k in ("version", "segment", "column", "metric", "window_start", "window_s"))
            assert row["revision"] > numbers.get(key, {"revision": -1})["revision"]
            numbers[key] = row
    return numbers


def _values(batches: list[Batch]) -> dict[tuple, tuple]:
    names = ("value", "n", "lower", "upper", "p_value", "effect", "label_completeness", "baseline_id")
    rows = {key: row for key, row in _last_numbers(batches).items() if row["metric"] != "accuracy" or row["n"]}
    return {key: tuple(row[name] for name in names) for key, row in rows.items()}


@settings(max_examples=60)
@given(plans=_PLANS, data=st.data())
def test_final_numbers_are_the_same_for_any_order_and_split(plans: list[BatchPlan], data: st.DataObject) -> None:
    batches = batches_of(plans)
    partials = [p for batch in batches for p in batch.partials]
    count = data.draw(st.integers(1, 6))
    parts: list[list[Partial]] = [[] for _ in range(count)]
    for partial in data.draw(st.permutations(partials)):
        i = data.draw(st.integers(0, count - 1))
        parts[i].append(replace(partial, batch_id=i, tally=_copy(partial.tally)))
    split = [
        Batch(i, merged(part), {("predictions", "0"): START + timedelta(seconds=30 * i)})
        for i, part in enumerate(parts)
    ]
    assert _values(split) == _values(batches)


def _copy(tally: Tally) -> Tally:
    copy = Tally()
    copy.add(tally)
    return copy


@settings(max_examples=60)
@given(plans=_PLANS)
def test_final_numbers_equal_a_plain_sum(plans: list[BatchPlan]) -> None:
    batches = batches_of(plans)
    events, labelled, correct = Counter[tuple](), Counter[tuple](), Counter[tuple]()
    for partial in (p for batch in batches for p in batch.partials):
        for length in (10, 60):
            start = partial.window_start - timedelta(seconds=partial.window_start.second % length)
            key = (partial.version, partial.segment, start, length)
            events[key] += partial.tally.counts[EVENTS]
            labelled[key] += partial.tally.counts["labelled"]
            correct[key] += partial.tally.counts["correct"]
    found = _last_numbers(batches)
    told = {(k[0], k[1], k[4], k[5]): row["value"] for k, row in found.items() if k[3] == "events"}
    assert told == {key: n for key, n in events.items() if n}
    for key, row in found.items():
        if key[3] == "accuracy":
            window = (key[0], key[1], key[4], key[5])
            assert row["n"] == max(0, labelled[window])
            if labelled[window] > 0:
                assert row["value"] == correct[window] / labelled[window]


def _rows(outputs: list, metric: str, start: datetime, window_s: int = 10) -> list[list[tuple]]:
    return [
        [
            (row["revision"], row["value"], row["n"])
            for row in output.metric_rows
            if (row["metric"], row["window_start"], row["window_s"]) == (metric, start, window_s)
        ]
        for output in outputs
    ]


def test_late_event_makes_a_new_revision_of_its_final_windows() -> None:
    plans = [
        BatchPlan((Piece(n=30),), seconds=20),
        BatchPlan((Piece(n=10),), seconds=5),
        BatchPlan((Piece(late_s=25, n=4),)),
    ]
    outputs, _ = watch(batches_of(plans))
    # Final in batch 1, when the clock passes its end and the lateness; then the late ones.
    assert _rows(outputs, "events", START) == [[], [(0, 30.0, 30)], [(2, 34.0, 34)]]
    # The minute is not final, so it waits.
    assert _rows(outputs, "events", START, 60) == [[], [], []]


def test_correction_takes_the_old_label_away() -> None:
    label = Piece(kind=FEEDBACK_KIND, late_s=20, n=4, wrong=1)
    correction = Piece(kind=FEEDBACK_KIND, late_s=25, n=0, wrong=-1)
    plans = [
        BatchPlan((Piece(n=30),), seconds=20),
        BatchPlan((Piece(n=10), label), seconds=5),
        BatchPlan((correction,)),
    ]
    outputs, _ = watch(batches_of(plans))
    assert _rows(outputs, "accuracy", START) == [[], [(1, 0.75, 4)], [(2, 1.0, 4)]]
    # Only the accuracy is told again.
    assert {row["metric"] for row in outputs[2].metric_rows} == {"accuracy"}


def test_window_waits_for_the_slowest_partition_but_not_for_a_silent_one() -> None:
    mark = Watermark(timedelta(seconds=5), timedelta(seconds=30))
    first, second = ("predictions", "0"), ("predictions", "1")
    mark.advance({first: START + timedelta(seconds=20), second: START + timedelta(seconds=3)})
    assert not mark.has_passed(START)
    mark.advance({first: START + timedelta(seconds=33)})
    assert mark.time == START - timedelta(seconds=2)
    mark.advance({first: START + timedelta(seconds=34)})
    assert mark.time == START + timedelta(seconds=29)
    # The silent one comes back: what was final stays so.
    mark.advance({second: START + timedelta(seconds=6)})
    assert mark.time == START + timedelta(seconds=29)


def test_version_without_a_baseline_is_counted_and_not_judged() -> None:
    outputs, _ = watch(batches_of([BatchPlan((Piece("3", n=70),), seconds=30)] * 4))
    blocks = [block for output in outputs for block in output.blocks]
    assert blocks
    assert {(b.columns, b.baseline_id) for b in blocks} == {((), "")}
    rows = [row for output in outputs for row in output.metric_rows]
    assert {"events", "error_rate", "mean"} <= {row["metric"] for row in rows}
    assert {row["baseline_id"] for row in rows} == {""}


def test_watched_columns_are_compared_and_others_only_told() -> None:
    outputs, _ = watch(batches_of([BatchPlan((Piece(n=70),), seconds=30)] * 4))
    rows = [row for output in outputs for row in output.metric_rows]
    compared = {row["column"] for row in rows if row["metric"] == "psi"}
    assert compared == {c.name for c in COLUMNS if c.drift}
    assert {row["metric"] for row in rows if row["column"] == "latency_ms"} == {"mean", "sd", "null_rate"}
    assert {"latency_p50", "latency_p95", "latency_p99"} <= {row["metric"] for row in rows if row["column"] == ""}
    assert GRID.column("x").drift
