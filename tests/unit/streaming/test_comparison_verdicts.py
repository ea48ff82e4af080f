"""The family keeps its level: without drift hardly any comparison says 'drifted', and a planted shift is found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.schemas.comparison import ComparisonVerdict, Metric
from pegel.streaming.statistics.column_comparison import CountedColumn, Measured, NumericColumn
from pegel.streaming.statistics.comparison_verdicts import LEVEL, holm, verdicts

_ALL = tuple(Metric)
_ZIPF = (1 / np.arange(1, 41)) / np.sum(1 / np.arange(1, 41))
_NO_BLOCKS = np.zeros((0, 40), dtype=np.int64)


def _rows(rng: np.random.Generator, n: int, m: int, shift: float = 0.0) -> list[tuple[int, str, Measured]]:
    """One comparison: a normal, a skewed, a counted and a heavy-tailed column with gaps, and one of categories."""
    draws = (
        lambda k: rng.normal(size=k),
        lambda k: rng.lognormal(0, 1, k),
        lambda k: rng.poisson(3, k).astype(float),
        lambda k: np.where(rng.random(k) < 0.1, np.nan, rng.standard_cauchy(k)),
    )
    rows = []
    for i, draw in enumerate(draws):
        current = draw(n) + (shift if i == 0 else 0.0)
        rows += [(0, f"x{i}", one) for one in NumericColumn(draw(m), n, _ALL).compare(current)]
    counted = CountedColumn(rng.multinomial(m, _ZIPF), _NO_BLOCKS).compare(rng.multinomial(n, _ZIPF), _ALL)
    return rows + [(0, "c", one) for one in counted]


def test_without_drift_few_comparisons_say_drifted_even_if_every_effect_matters() -> None:
    rng, runs = np.random.default_rng(11), 200
    said = [ComparisonVerdict.DRIFTED in verdicts(_rows(rng, 200, 2000), minimum_effect=0.0) for _ in range(runs)]
    # Three standard errors above the level.
    assert sum(said) / runs <= LEVEL + 3 * (LEVEL * (1 - LEVEL) / runs) ** 0.5


def test_a_planted_shift_is_found_and_in_its_column() -> None:
    rng, drifted = np.random.default_rng(12), []
    for _ in range(20):
        rows = _rows(rng, 1000, 5000, shift=0.3)
        drifted += sorted({row[1] for row, said in zip(rows, verdicts(rows), strict=True) if said == "drifted"})
    assert drifted.count("x0") == 20
    assert len(drifted) <= 23


def _measured(p: float | None, effect: float | None, metric: Metric = Metric.KS) -> Measured:
    return Measured(metric, 0.1, 1000, p, effect)


def test_significant_and_large_enough_are_both_needed() -> None:
    rows = [(0, name, one) for name, one in zip("abcd", [
        _measured(1e-9, 0.2), _measured(1e-9, 0.01), _measured(0.5, 0.2), _measured(1e-9, None)
    ], strict=True)]  # fmt: skip
    assert verdicts(rows) == ["drifted", "stable", "stable", "drifted"]
    assert verdicts(rows, minimum_effect=0.005)[1] == "drifted"


def test_what_was_not_tested_has_too_few_rows_and_makes_the_family_no_larger() -> None:
    rows = [(0, "a", _measured(0.04, 0.2)), *((0, f"b{i}", _measured(None, None)) for i in range(50))]
    found = verdicts(rows)
    assert found[0] == "drifted"
    assert set(found[1:]) == {"too_few"}


def test_metrics_with_one_test_are_one_member_of_the_family() -> None:
    same = [Metric.PSI, Metric.JENSEN_SHANNON, Metric.HELLINGER, Metric.CHI2]
    assert verdicts([(0, "a", _measured(0.04, 0.2, metric)) for metric in same]) == ["drifted"] * 4
    assert verdicts([(i, "a", _measured(0.04, 0.2)) for i in range(4)]) == ["stable"] * 4


@given(p=st.lists(st.floats(0, 1), max_size=30), level=st.floats(0.001, 0.5))
def test_holm_rejects_what_its_definition_says(p: list[float], level: float) -> None:
    found = holm(np.array(p, dtype=float), level)
    expected, rest = set(), sorted(range(len(p)), key=lambda i: p[i])
    while rest and p[rest[0]] <= level / len(rest):
        expected.add(rest.pop(0))
    # Equal p-values fall together or not, whichever comes first among them.
    assert sorted(p[i] for i in np.flatnonzero(found)) == sorted(p[i] for i in expected)
    assert found.sum() >= sum(x <= level / max(1, len(p)) for x in p)


def test_nothing_compared_is_nothing_judged() -> None:
    assert verdicts([]) == []
    assert holm(np.array([]), 0.05).size == 0


@pytest.mark.parametrize("n", [49, 50])
def test_fifty_rows_are_enough_to_judge(n: int) -> None:
    rng = np.random.default_rng(1)
    found = NumericColumn(rng.normal(size=5000), n, _ALL).compare(rng.normal(size=n))
    assert [one.p_value is None for one in found] == [n < 50] * len(_ALL)
    assert all(one.value is not None for one in found)
