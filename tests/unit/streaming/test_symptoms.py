"""What an incident's windows and the stream around them say: each sign where it is, none where there is none."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from equipment.watched_stream import BatchPlan, Piece, batches_of, profile_row

from pegel.alerts.diagnosis import Loss, loss
from pegel.lifecycle.baseline import make_baseline
from pegel.schemas.diagnosis import FindingKind, Symptoms
from pegel.schemas.grids import NUMERIC, GridColumn
from pegel.schemas.partials import ALL, FEEDBACK_KIND
from pegel.schemas.verdicts import Evidence
from pegel.streaming.ingest.batch import COUNT_COLUMNS
from pegel.streaming.statistics.counting import count, learn_grid
from pegel.streaming.watch.reference import Comparison, Reference
from pegel.streaming.watch.surroundings import Stream, Surroundings, label_changes, stream_faults
from pegel.streaming.watch.symptoms import Counted, observe, realised
from pegel.tables.delta import DeltaTables

START = datetime(2026, 11, 25, 3, tzinfo=UTC)
SPECS = (GridColumn("x", NUMERIC, "features.x"), GridColumn("sure", NUMERIC, "confidence"))
CENTRES = {"lang=de": 0.0, "lang=en": 3.0}


def rows(rng: np.random.Generator, n: int, share: float = 0.5, *, shift: float = 0.0, unsure: float = 0.0) -> Any:
    """Events of two segments, whose ``x`` lies elsewhere; some are unsure of a new kind."""
    segment = np.where(rng.random(n) < share, "lang=de", "lang=en")
    x = rng.normal(np.vectorize(CENTRES.get)(segment), 1.0) + shift
    sure = np.where(rng.random(n) < unsure, rng.beta(1, 30, n), rng.beta(8, 1, n))
    return segment, {"x": x.tolist(), "sure": sure.tolist()}


def right(rng: np.random.Generator, values: dict[str, list[float]]) -> list[bool]:
    return (rng.random(len(values["sure"])) < values["sure"]).tolist()


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    rng = np.random.default_rng(1)
    _, values = rows(rng, 3000)
    grid = learn_grid("m", SPECS, values)
    made = make_baseline("m", "1", grid, values, right(rng, values), failed=[False] * 3000)
    return Comparison(Reference(grid, made.tally, "b1"))


def counted(comparison: Comparison, drawn: Any, *, labels: int = 0, correct: int = 0) -> dict[str, Counted]:
    segments, values = drawn
    found = {}
    for name in (ALL, *CENTRES):
        keep = np.ones(len(segments), bool) if name == ALL else segments == name
        tally = count({k: [v for v, k_ in zip(vs, keep, strict=True) if k_] for k, vs in values.items()},
                      comparison.reference.grid)  # fmt: skip
        found[name] = Counted(Counter(tally.counts) + Counter(labelled=labels, correct=correct), tally)
    return found


def look(comparison: Comparison, now: Any, before: Any, **labels: int) -> Symptoms:
    return observe(ALL, ("x",), comparison, counted(comparison, now, **labels), counted(comparison, before))


def test_a_changed_mix_explains_the_drift_of_a_column_and_names_the_segments(comparison: Comparison) -> None:
    rng = np.random.default_rng(2)
    found = look(comparison, rows(rng, 800, 0.85), rows(rng, 3000))
    assert {f.subject for f in found.mix} == set(CENTRES)
    assert (found.faults, found.labels) == ((), ())
    assert found.estimated is not None
    assert found.estimated.usual is not None
    assert found.estimated.lower > found.estimated.usual - 0.05


def test_a_drift_within_segments_is_no_change_of_the_mix(comparison: Comparison) -> None:
    rng = np.random.default_rng(3)
    assert look(comparison, rows(rng, 800, shift=1.0), rows(rng, 3000)).mix == ()
    assert look(comparison, rows(rng, 800, 0.85, shift=1.0), rows(rng, 3000)).mix == ()
    # Nothing is known of the time before.
    assert observe(ALL, ("x",), comparison, counted(comparison, rows(rng, 800, 0.85)), {}).mix == ()


def test_answers_of_a_new_kind_widen_the_estimate_by_their_share(comparison: Comparison) -> None:
    rng = np.random.default_rng(4)
    quiet, strange = (look(comparison, rows(rng, 800, unsure=share), rows(rng, 3000)) for share in (0.0, 0.2))
    assert quiet.outside == ()
    assert FindingKind.WEAK_ANSWERS in {f.kind for f in strange.outside}
    most = max(f.share - (f.usual or 0) for f in strange.outside)
    assert strange.estimated is not None
    assert strange.estimated.lower < strange.estimated.share - most


def test_accuracy_is_told_once_half_of_the_events_have_labels(comparison: Comparison) -> None:
    rng = np.random.default_rng(5)
    now, before = rows(rng, 400), rows(rng, 3000)
    assert look(comparison, now, before, labels=199, correct=150).realised is None
    told = look(comparison, now, before, labels=200, correct=150).realised
    assert told is not None
    assert (told.share, told.n, told.usual_n) == (0.75, 200, 3000)  # too few labels before, so the baseline's own
    assert told.lower < 0.75 < told.upper


def test_a_segment_is_compared_with_its_own_past_and_with_nothing_where_that_is_short(comparison: Comparison) -> None:
    rng = np.random.default_rng(6)
    segment, values = rows(rng, 1600)
    # One segment always lacked x in a third of its events, has errors, and is right in 70 % only.
    values["x"] = [
        None if s == "lang=de" and i % 3 == 0 else x for i, (s, x) in enumerate(zip(segment, values["x"], strict=True))
    ]
    here = counted(comparison, (segment, values), labels=500, correct=350)
    for one in here.values():
        one.counts["errors"] = 60

    def found(before: dict[str, Counted], where: str = "lang=de") -> Symptoms:
        return observe(where, ("x",), comparison, here, before)

    assert {f.kind for f in found(here, ALL).faults} >= {FindingKind.MISSING, FindingKind.FAILED_CALLS}
    assert found(here).faults == ()
    told = found(here).realised
    assert told is not None
    assert (told.usual, told.usual_n) == (0.7, 500)
    for short in ({}, counted(comparison, rows(rng, 40), labels=20, correct=20)):
        assert (found(short).faults, found(short).realised) == ((), None)
    broken = found(counted(comparison, rows(rng, 1600))).faults
    assert {f.kind for f in broken} == {FindingKind.MISSING, FindingKind.FAILED_CALLS}


def test_labels_show_or_exclude_no_loss_beside_few_labels_of_before(comparison: Comparison) -> None:
    few, many = Counter(events=100, labelled=50, correct=45), Counter(events=4000, labelled=2000, correct=1800)
    # Of 200 labels 0.8 shows a loss from 0.9, and 0.91 excludes one of 0.05, where the 0.9 is known well.
    for correct, told in ((160, Loss.SHOWN), (182, Loss.EXCLUDED)):
        now = Counter(events=400, labelled=200, correct=correct)
        assert [loss(realised(now, before, comparison, whole=True), 0.05) for before in (many, few)] == [
            told,
            Loss.UNKNOWN,
        ]


def batch(**change: Any) -> dict[str, Any]:
    part = {"hub": "predictions", "first": 0, "last": 49, "count": 50, "last_enqueued": START}
    values = {
        **dict.fromkeys(COUNT_COLUMNS, 0), "received": 100, "stored": 100, "in_partials": 100,
        "offsets": [{**part, "partition": "0"}, {**part, "partition": "1"}],
    }  # fmt: skip
    return {**values, **change}


USUAL = Stream([batch()] * 20, Counter(not_json=2))


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (Stream([batch()] * 5), []),
        (Stream([batch()] * 5, Counter(not_json=1)), []),
        (Stream([batch()] * 5, Counter(not_json=40, bad_field=1)), [("dead_letters", "not_json")]),
        (Stream([batch()] * 4 + [batch(stored=99)]), [("unconserved", "")]),
        (Stream([batch()] * 4 + [batch(feedback_received=1)]), [("unconserved", "")]),
        (Stream([batch()] * 4 + [batch(feedback_received=1, feedback_stored=1, unmatched=2)]), [("unconserved", "")]),
        (Stream([batch()] * 5, expired=50), [("expired", "")]),
        (Stream([batch(offsets=batch()["offsets"][:1])] * 5), [("silent_partition", "1")]),
        (Stream([batch(offsets=[{**batch()["offsets"][0], "count": 2}])] * 2), []),
    ],
)
def test_the_stream_is_sick_where_it_differs_from_before(now: Stream, told: list[tuple[str, str]]) -> None:
    assert [(f.kind.value, f.subject) for f in stream_faults(now, USUAL, "predictions")] == told


def test_a_partition_that_gets_whole_batches_of_a_producer_may_be_empty_by_chance() -> None:
    one = batch(offsets=batch()["offsets"][:1])
    usual = Stream([batch(), one, one] * 20)
    # Of thousands of events none, but of a few micro-batches only.
    assert list(stream_faults(Stream([one] * 10), usual, "predictions")) == []
    (found,) = stream_faults(Stream([one] * 30), usual, "predictions")
    assert (found.subject, found.share, found.n, found.usual, found.usual_n) == ("1", 0.0, 30, 1 / 3, 60)
    # Micro-batches with labels alone say nothing.
    assert list(stream_faults(Stream([one] * 10 + [batch(offsets=[])] * 20), usual, "predictions")) == []


def test_a_stream_without_a_past_has_no_fault_that_needs_one() -> None:
    assert list(stream_faults(Stream([batch()] * 5, Counter(not_json=200)), Stream(), "predictions")) == []


def test_labels_have_changed_if_another_source_gives_them() -> None:
    assert list(label_changes({"ann": 90, "bob": 110}, {"ann": 480, "bob": 520})) == []
    (found,) = label_changes({"ann": 20, "cid": 180}, {"ann": 480, "bob": 520})
    assert (found.share, found.usual, found.subject) == (0.9, 0.0, "")
    assert list(label_changes({"cid": 200}, {})) == []


def test_surroundings_are_read_from_rows_below_the_micro_batch_alone(tmp_path: Path) -> None:
    tables = DeltaTables(str(tmp_path))
    names = ("batches", "gaps", "dead_letters", "feedback", "profiles")
    for name in names:
        tables.create(name)
    base = {
        "query_id": "q", "generation": 0, "started_at": START, "committed_at": START, "code_version": "1",
    }  # fmt: skip
    later = [{**part, "last_enqueued": START + timedelta(seconds=40)} for part in batch()["offsets"]]
    tables.append("batches", [{**base, **batch(offsets=later), "batch_id": i} for i in range(30)])
    dead = {"hub": "predictions", "partition": "0", "enqueued_time": START, "reason": "not_json", "sha256": "s"}
    tables.append("dead_letters", [{**dead, "offset": i, "batch_id": 20 + i % 10} for i in range(100)])
    second = timedelta(seconds=1)
    label = {"event_id": "e", "kind": "label", "label": "a", "hub": "feedback", "partition": "0", "offset": 1}
    tables.append(
        "feedback",
        [
            {
                **label, "feedback_id": str(i), "batch_id": i % 30, "source": source, "prediction_time": START + at,
                "feedback_time": START + at + delay, "enqueued_time": START + at + delay,
            }
            for i, (source, at, delay) in enumerate(
                # Cid labels later than the newest window has waited for; so has nobody there.
                [("ann", -60 * second, 30 * second)] * 300 + [("cid", -60 * second, 31 * second)] * 3000
                + [("cid", 5 * second, 20 * second)] * 300
            )
        ],
    )  # fmt: skip
    evidence = Evidence("i", "m", "1", ALL, ("x",), ((START, 10),), first_batch_id=20)
    around = Surroundings(tables, "predictions")
    realised = Symptoms().realised
    quiet = Symptoms(realised=realised)
    assert around.add_to(quiet, evidence, 20) == quiet
    (found,) = around.add_to(quiet, evidence, 25).faults
    assert (found.kind, found.subject, found.share, found.n) == (FindingKind.DEAD_LETTERS, "not_json", 0.1, 500)
    assert (found.usual, found.usual_n) == (0.0, 2000)
    (other,) = label_changes({"cid": 300}, {"ann": 300})
    with_labels = Symptoms(realised=other)
    assert around.add_to(with_labels, evidence, 30).labels == (other,)
    assert around.add_to(with_labels, evidence, 1).labels == ()
    # What came after the last live event of the evidence's windows is not about them.
    (counted_then,) = batches_of([BatchPlan((Piece("1"),))])
    partial = replace(counted_then.partials[0], model="m", segment=ALL, window_start=START)
    others = replace(partial, batch_id=29, model="n"), replace(partial, batch_id=29, kind=FEEDBACK_KIND)
    late = replace(partial, batch_id=28, window_start=START + 10 * second)
    tables.append("profiles", [profile_row(one) for one in (replace(partial, batch_id=22), *others, late)])
    (found,) = around.add_to(quiet, evidence, 30).faults
    assert (found.kind, found.share, found.n) == (FindingKind.DEAD_LETTERS, 0.1, 300)
    (found,) = around.add_to(quiet, evidence, 22).faults
    assert found.n == 200
