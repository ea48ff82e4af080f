"""What is wrong with a column, told from counts: each fault is seen, and quiet columns have none."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from pegel.schemas.diagnosis import FindingKind
from pegel.schemas.grids import CATEGORICAL, NUMERIC, OTHER_NAME, GridColumn
from pegel.schemas.partials import Tally
from pegel.streaming.statistics.column_symptoms import faults, has_risen, outside
from pegel.streaming.statistics.counting import count, learn_grid

AMOUNT = GridColumn("amount", NUMERIC, "features.amount")
CHANNEL = GridColumn("channel", CATEGORICAL, "features.channel")
NAMES = ("web", "Phone", "e-mail", "shop")


def kinds_of(spec: GridColumn, usual: Sequence[Any], now: Sequence[Any]) -> tuple[list[str], list[str]]:
    """The faults, and the signs that values lie outside."""
    grid = learn_grid("m", [spec], {spec.name: usual})
    tallies = [count({spec.name: values}, grid) for values in (now, usual)]
    column = grid.columns[0]
    return tuple([found.kind.value for found in look(column, *tallies)] for look in (faults, outside))


def amounts(rng: np.random.Generator, n: int, scale: float = 1.0) -> list[Any]:
    return (scale * rng.lognormal(3, 0.5, n)).tolist()


def some(share: float, change: Callable[[Any], Any]) -> Callable[[list[Any]], list[Any]]:
    """Change every so-many-th value."""
    return lambda values: [change(value) if i % 100 < 100 * share else value for i, value in enumerate(values)]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (some(0.05, lambda _: None), "missing"),
        (some(0.05, lambda _: float("nan")), "non_finite"),
        (some(1.0, lambda x: 1000 * x), "magnitude"),
        (some(0.1, lambda x: 1000 * x), "magnitude"),
        (some(0.1, lambda x: x / 1000), "magnitude"),
        (some(0.1, lambda x: -x), "magnitude"),
        (some(0.1, lambda _: -1.0), "magnitude"),
        (some(0.97, lambda _: 20.0), "stuck"),
    ],
)
def test_a_broken_number_is_told_by_what_broke_it(change: Callable[[list[Any]], list[Any]], fault: str) -> None:
    rng = np.random.default_rng(5)
    found, _ = kinds_of(AMOUNT, amounts(rng, 2000), change(amounts(rng, 600)))
    assert found == [fault]


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.0, 1.5, 3.0])
def test_a_number_that_only_moved_is_not_broken(scale: float) -> None:
    rng = np.random.default_rng(6)
    assert kinds_of(AMOUNT, amounts(rng, 2000), amounts(rng, 600, scale))[0] == []


def test_a_column_with_many_equal_values_is_not_stuck_if_it_always_was() -> None:
    rng = np.random.default_rng(7)
    flags = (rng.random(3000) < 0.92).astype(float).tolist()
    assert kinds_of(AMOUNT, flags[:2000], flags[2000:])[0] == []


def channels(rng: np.random.Generator, n: int) -> list[Any]:
    return list(rng.choice(NAMES, n, p=(0.5, 0.3, 0.15, 0.05)))


@pytest.mark.parametrize(
    ("rename", "told"),
    [
        ({"web": "Web"}, (["respelled"], ["unseen_names"])),
        ({"web": "browser"}, (["respelled"], ["unseen_names"])),
        ({"shop": None}, (["missing"], [])),
        # A category that is there more often, or that falls away, is no fault.
        ({"web": "shop"}, ([], [])),
    ],
)
def test_a_changed_category_is_told_by_what_became_of_its_name(
    rename: dict[str, str | None], told: tuple[list[str], list[str]]
) -> None:
    rng = np.random.default_rng(8)
    now = [rename.get(name, name) for name in channels(rng, 800)]
    assert kinds_of(CHANNEL, channels(rng, 2000), now) == told


def test_a_new_category_beside_all_known_ones_is_outside_and_no_fault() -> None:
    rng = np.random.default_rng(9)
    now = channels(rng, 700) + ["kiosk"] * 100
    assert kinds_of(CHANNEL, channels(rng, 2000), now) == ([], ["unseen_names"])


@pytest.mark.parametrize(("known", "new"), [("c", "c++"), ("15", "1.5"), ("1", "-1"), ("1825", "18-25"), ("ab", "a/b")])
def test_a_name_with_another_sign_is_another_name(known: str, new: str) -> None:
    before = Tally(categories={"channel": Counter({known: 1000, "phone": 600})})
    now = Tally(categories={"channel": Counter({known: 300, "phone": 180, new: 120})})
    assert list(faults(CHANNEL, now, before)) == []


@pytest.mark.parametrize("new", ["CREME-2", "crème_2", " creme2", "Creme 2"])
def test_case_space_dash_and_accents_alone_make_a_new_spelling(new: str) -> None:
    before = Tally(categories={"channel": Counter({"creme 2": 1000, "phone": 600})})
    now = Tally(categories={"channel": Counter({"phone": 180, "creme 2": 300, new: 120})})
    assert [f.kind for f in faults(CHANNEL, now, before)] == [FindingKind.RESPELLED]


def test_a_new_spelling_of_some_producers_is_seen_where_names_are_counted() -> None:
    # A grid without names counts each one.
    before = Tally(categories={"channel": Counter(web=1000, phone=600)})
    now = Tally(categories={"channel": Counter({"web": 300, "phone": 180, "WEB ": 120})})
    assert [f.kind for f in faults(CHANNEL, now, before)] == [FindingKind.RESPELLED]
    others = Tally(categories={"channel": Counter({"web": 300, "phone": 180, OTHER_NAME: 120})})
    assert [f.kind for f in faults(CHANNEL, others, before)] == []


@pytest.mark.parametrize("seed", range(20))
def test_quiet_columns_have_no_symptom(seed: int) -> None:
    rng = np.random.default_rng([10, seed])
    n = int(rng.integers(60, 2000))
    assert kinds_of(AMOUNT, amounts(rng, 1500), amounts(rng, n)) == ([], [])
    assert kinds_of(CHANNEL, channels(rng, 1500), channels(rng, n)) == ([], [])


def test_values_beyond_the_range_are_outside() -> None:
    rng = np.random.default_rng(11)
    assert kinds_of(AMOUNT, amounts(rng, 2000), amounts(rng, 500, 2.5)) == ([], ["beyond_range"])


@given(st.integers(50, 400), st.integers(50, 400), st.data())
def test_a_share_has_risen_only_if_fishers_test_says_so_and_it_matters(n: int, m: int, data: st.DataObject) -> None:
    hits, usual = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    p_value = fisher_exact([[hits, n - hits], [usual, m - usual]], alternative="greater").pvalue
    if has_risen(hits, n, usual, m):
        assert p_value < 0.001 * (1 + 1e-6)
        assert hits / n > usual / m
    else:
        small = 2 * np.arcsin(np.sqrt(hits / n)) - 2 * np.arcsin(np.sqrt(usual / m)) < 0.2 + 1e-9
        assert small or p_value > 0.001 * (1 - 1e-6)


def test_few_events_have_no_symptom() -> None:
    rng = np.random.default_rng(12)
    assert not has_risen(49, 49, 0, 1000)
    assert kinds_of(AMOUNT, amounts(rng, 2000), [None] * 49)[0] == []
