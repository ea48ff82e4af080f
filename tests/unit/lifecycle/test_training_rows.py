import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.errors import ReplayError
from pegel.lifecycle.training_rows import (
    NO_BATCH,
    LabelledRow,
    NamedRows,
    highest_batch,
    read_again,
    read_named_rows,
)
from pegel.tables.delta import DeltaTables

Make = Callable[..., dict[str, Any]]


def test_training_rows_join_label_and_prediction_by_id_and_time(
    tables: DeltaTables, prediction: Make, label: Make
) -> None:
    tables.append("predictions", [prediction(n) for n in range(4)])
    wrong_time = label(2, prediction_time=prediction(3)["event_time"])
    tables.append("feedback", [label(0), label(1, kind="rating", label=None), wrong_time, label(99)])
    named = read_named_rows(tables, "assistant", 50)
    assert [(row.event_id, row.text, row.label) for row in named.rows] == [("e0000", "text 0", "a")]


def test_training_rows_take_the_newest_label_of_an_event(tables: DeltaTables, prediction: Make, label: Make) -> None:
    tables.append("predictions", [prediction(0)])
    corrections = [
        label(0, feedback_id="c", label="newest", batch_id=7),
        label(0, feedback_id="a", label="first", batch_id=2),
        label(0, feedback_id="b", label="second", batch_id=5),
    ]
    tables.append("feedback", corrections)
    assert read_named_rows(tables, "assistant", 9).rows[0].label == "newest"
    assert read_named_rows(tables, "assistant", 6).rows[0].label == "second"


def test_training_rows_leave_out_failures_other_models_and_missing_text(
    tables: DeltaTables, prediction: Make, label: Make
) -> None:
    rows = [
        prediction(0, error_type="TimeoutError"),
        prediction(1, model="other"),
        prediction(2, input=None),
        prediction(3),
    ]
    tables.append("predictions", rows)
    tables.append("feedback", [label(n) for n in range(4)])
    assert [row.event_id for row in read_named_rows(tables, "assistant", 50).rows] == ["e0003"]


def test_named_rows_stay_the_same_while_the_tables_grow(tables: DeltaTables, prediction: Make, label: Make) -> None:
    tables.append("predictions", [prediction(n) for n in range(20)])
    tables.append("feedback", [label(n) for n in range(20)])
    named = read_named_rows(tables, "assistant", 2)
    assert len(named.rows) == 10
    tables.append("feedback", [label(3, feedback_id="later", label="b", batch_id=3)])
    tables.append("predictions", [prediction(n) for n in range(20, 30)])
    again = read_again(tables, "assistant", batch_id_max=2, rows=10, checksum=named.checksum)
    assert again.rows == named.rows
    assert read_named_rows(tables, "assistant", 3).checksum != named.checksum


def test_read_again_refuses_rows_that_are_not_the_same(tables: DeltaTables, prediction: Make, label: Make) -> None:
    tables.append("predictions", [prediction(n) for n in range(5)])
    tables.append("feedback", [label(n) for n in range(5)])
    named = read_named_rows(tables, "assistant", 2)
    with pytest.raises(ReplayError, match="have changed"):
        read_again(tables, "assistant", batch_id_max=2, rows=4, checksum=named.checksum)
    with pytest.raises(ReplayError, match="have changed"):
        read_again(tables, "assistant", batch_id_max=2, rows=5, checksum="0" * 64)


def test_highest_batch_is_the_highest_commit_mark(tables: DeltaTables) -> None:
    assert highest_batch(tables) == NO_BATCH
    counts = ("received", "stored", "dead_letters", "duplicates")
    zeros = dict.fromkeys((*counts, "in_partials", *(f"feedback_{name}" for name in counts)), 0)
    rows = [{"query_id": "q", "batch_id": b, "generation": 1, "offsets": [], **zeros} for b in (1_000_000_003, 7)]
    tables.append("batches", rows)
    assert highest_batch(tables) == 1_000_000_003


@given(
    st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4)), max_size=8, unique_by=lambda p: p[0]), st.randoms()
)
def test_checksum_does_not_depend_on_order_and_changes_with_any_label(pairs: list[tuple[str, str]], rng: Any) -> None:
    rows = [LabelledRow(i, datetime(2026, 1, 1, tzinfo=UTC), "1", "t", None, label) for i, label in pairs]
    shuffled = list(rows)
    rng.shuffle(shuffled)
    checksum = NamedRows("m", 1, tuple(rows)).checksum
    assert NamedRows("m", 1, tuple(shuffled)).checksum == checksum
    if rows:
        changed = [replace(rows[0], label=rows[0].label + "x"), *rows[1:]]
        assert NamedRows("m", 1, tuple(changed)).checksum != checksum


def test_training_rows_carry_their_segments_and_keep_their_name(
    tables: DeltaTables, prediction: Make, label: Make
) -> None:
    tables.append("predictions", [prediction(0, segments={"channel": "web"}), prediction(1, segments=None)])
    tables.append("feedback", [label(0), label(1)])
    named = read_named_rows(tables, "assistant", 50)
    assert [dict(row.segments) for row in named.rows] == [{"channel": "web"}, {}]
    bare = tuple(replace(row, segments={}) for row in named.rows)
    assert NamedRows("assistant", 50, bare).checksum == named.checksum
    # The name that was stored before rows had segments: SHA-256 of one line of JSON for each.
    lines = '["e0000", "a"]\n["e0001", "a"]\n'
    assert named.checksum == hashlib.sha256(lines.encode()).hexdigest()
