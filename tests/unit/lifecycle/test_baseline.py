from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from pegel.errors import ContractError
from pegel.lifecycle.baseline import (
    choose_grid,
    known_grids,
    make_baseline,
    measure_latencies_ms,
    store,
    stored_baseline,
    watched_values,
)
from pegel.lifecycle.loaded_model import LoadedModel
from pegel.lifecycle.text_classifier import WATCHED
from pegel.schemas.grids import ABOVE, NUMERIC, GridColumn
from pegel.schemas.model_io import Answer
from pegel.schemas.partials import ANSWERED, tally_from_row
from pegel.streaming.statistics.counting import count, learn_grid
from pegel.streaming.watch.rates import rates_in
from pegel.tables.delta import DeltaTables

NUMBER = GridColumn("x", NUMERIC, "features.x")
NAME = GridColumn("output", "categorical", "output")


def answer(output: str = "a", confidence: float = 0.5, **features: float) -> Answer:
    return Answer(output, {output: confidence, "z": 0.1}, features)


def test_watched_values_follow_each_columns_source() -> None:
    values = watched_values(WATCHED, ["two  words", "öß"], [answer(known_word_share=0.5), answer("b", 0.75)], [1.5])
    assert values == {
        "input_length": [10, 2],
        "input_words": [2, 1],
        "confidence": [0.5, 0.75],
        "known_word_share": [0.5, None],
        "output": ["a", "b"],
        "latency_ms": [1.5, None],
    }


def test_watched_values_refuse_a_source_that_no_text_has() -> None:
    with pytest.raises(ContractError, match="input_tokens"):
        watched_values([GridColumn("t", NUMERIC, "input_tokens")], ["a"], [answer()], [])


def test_grid_is_kept_while_the_values_lie_on_it() -> None:
    values: dict[str, list[Any]] = {"x": [float(i) for i in range(1000)], "output": ["a", "b"] * 500}
    grid = learn_grid("m", [NUMBER, NAME], values)
    shifted = {"x": [v + 100 for v in values["x"]], "output": ["a"] * 1000}
    assert choose_grid([grid], "m", [NUMBER, NAME], shifted) is grid
    assert choose_grid([], "m", [NUMBER, NAME], values) == grid


@pytest.mark.parametrize(("outside", "kept"), [(9, True), (10, False)])
@pytest.mark.parametrize("what", ["number", "name"])
def test_grid_is_learned_anew_from_one_in_a_hundred_outside(what: str, outside: int, kept: bool) -> None:
    values: dict[str, list[Any]] = {"x": [float(i % 7) for i in range(1000)], "output": ["a"] * 1000}
    grid = learn_grid("m", [NUMBER, NAME], values)
    if what == "number":
        values["x"][:outside] = [1e9] * outside
        assert count(values, grid).cells["x"][ABOVE] == outside
    else:
        values["output"][:outside] = ["new"] * outside
    assert (choose_grid([grid], "m", [NUMBER, NAME], values) is grid) is kept


def test_grid_is_learned_anew_for_other_columns() -> None:
    values: dict[str, list[Any]] = {"x": [1.0, 2.0], "output": ["a", "b"]}
    grid = learn_grid("m", [NUMBER], values)
    assert choose_grid([grid], "m", [NUMBER, NAME], values) is not grid
    assert choose_grid([grid], "m", [replace(NUMBER, drift=False)], values) is not grid


def test_stored_baseline_is_one_row_however_often_it_is_stored_and_reads_back(
    tables: DeltaTables, start: datetime
) -> None:
    values: dict[str, list[Any]] = {"x": [1.0, 2.0, None, float("inf")], "output": ["a", "b", "b", None]}
    grid = learn_grid("m", [NUMBER, NAME], values)
    baseline = make_baseline("m", "1", grid, values)
    for _ in range(2):
        store(tables, baseline, source="test", now=start)
    (row,) = tables.read("baselines")
    assert tally_from_row(row) == baseline.tally
    assert known_grids(tables, "m") == [grid]
    assert known_grids(tables, "other") == []
    assert stored_baseline(tables, "m", "1") == (baseline.baseline_id, grid.grid)
    assert stored_baseline(tables, "m", "2") is None


def test_baseline_id_names_the_content() -> None:
    values: dict[str, list[Any]] = {"x": [1.0, 2.0]}
    grid = learn_grid("m", [NUMBER], values)
    one = make_baseline("m", "1", grid, values)
    assert one.baseline_id == make_baseline("m", "1", grid, {"x": [2.0, 1.0]}).baseline_id
    assert one.baseline_id != make_baseline("m", "2", grid, values).baseline_id
    assert one.baseline_id != make_baseline("m", "1", grid, {"x": [1.0, 1.0]}).baseline_id


def test_baseline_says_how_many_answers_failed_only_if_it_is_told() -> None:
    values: dict[str, list[Any]] = {"x": [1.0, 2.0, 3.0]}
    grid = learn_grid("m", [NUMBER], values)
    told = make_baseline("m", "1", grid, values, failed=[False, True, False])
    silent = make_baseline("m", "1", grid, values)
    assert rates_in(told.tally.counts, {})["error_rate"] == (1, 3)
    assert told.tally.counts[ANSWERED] == 2
    assert ANSWERED not in silent.tally.counts
    assert told.baseline_id != silent.baseline_id


def test_latencies_are_of_single_answers() -> None:
    asked = []

    class Model:
        def predict(self, frame: Any) -> dict[str, list[Any]]:
            asked.append(list(frame["text"]))
            return {"output": ["a"], "probabilities": [{}], "features": [{}]}

    ticks = iter(range(100))
    found = measure_latencies_ms(LoadedModel("1", Model()), ["a", "b"], clock=lambda: next(ticks) / 10)
    assert found == pytest.approx([100.0, 100.0])
    assert asked == [["a"], ["b"]]
