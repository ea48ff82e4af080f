"""A first version has no champion to be no worse than: gaps between its groups count by themselves, or nothing does."""

from datetime import UTC, datetime

import pytest

from pegel.conf.fairness_settings import FairnessSettings
from pegel.lifecycle.fairness.evaluation import CHALLENGER
from pegel.lifecycle.first_version import judge_first
from pegel.lifecycle.labelled_text import LabelledText
from pegel.schemas.model_io import Answer

NOW = datetime(2026, 11, 28, tzinfo=UTC)
BY_CHANNEL = FairnessSettings(attributes=("channel",))


def rows_of(*groups: tuple[str | None, int]) -> list[LabelledText]:
    made = [group for group, count in groups for _ in range(count)]
    return [
        LabelledText(f"text {n}", "right", {} if group is None else {"channel": group}) for n, group in enumerate(made)
    ]


def answers_of(rows: list[LabelledText], share_right: dict[str | None, float]) -> list[Answer]:
    """In each group the first share of the rows is answered rightly."""
    seen: dict[str | None, int] = {}
    total = {group: sum(row.segments.get("channel") == group for row in rows) for group in share_right}
    answers = []
    for row in rows:
        group = row.segments.get("channel")
        right = seen.get(group, 0) < round(share_right[group] * total[group])
        seen[group] = seen.get(group, 0) + 1
        answers.append(Answer("right" if right else "wrong", {}, {}))
    return answers


def test_a_gap_between_groups_refuses_a_first_version_in_a_sentence_that_names_no_champion() -> None:
    rows = rows_of(("web", 100), ("app", 100))
    detail, found = judge_first([], rows, answers_of(rows, {"web": 0.9, "app": 0.4}), BY_CHANNEL, NOW)
    assert found is not None
    assert found.verdict.refused
    assert "90.0% of 100 for 'web' and 40.0% of 100 for 'app'" in detail
    assert "champion" not in detail
    assert list(found.models) == [CHALLENGER]
    assert found.at == NOW


def test_a_first_version_may_be_bad_as_long_as_it_is_bad_for_all() -> None:
    rows = rows_of(("web", 100), ("app", 100))
    detail, found = judge_first([], rows, answers_of(rows, {"web": 0.2, "app": 0.2}), BY_CHANNEL, NOW)
    assert found is not None
    assert not found.verdict.refused
    assert "within its limits in 1 comparisons" in detail


def test_a_gap_that_chance_may_have_made_refuses_no_first_version() -> None:
    rows = rows_of(("web", 40), ("app", 40))
    _, found = judge_first([], rows, answers_of(rows, {"web": 0.85, "app": 0.7}), BY_CHANNEL, NOW)
    assert found is not None
    assert not found.verdict.refused


def test_a_text_that_it_was_trained_on_does_not_judge_it() -> None:
    rows = rows_of(("web", 100), ("app", 100))
    learned = [row for row in rows if row.segments["channel"] == "app"]
    _, found = judge_first(learned, rows, answers_of(rows, {"web": 0.9, "app": 0.4}), BY_CHANNEL, NOW)
    assert found is not None
    assert (found.facts["rows"], found.verdict.refused) == (100, False)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (FairnessSettings(), "fairness.attributes names no groups"),
        (FairnessSettings(attributes=("plan", "age")), "no validation row has a group by plan, age"),
    ],
)
def test_what_could_not_be_judged_is_said(settings: FairnessSettings, says: str) -> None:
    rows = rows_of((None, 50))
    detail, found = judge_first([], rows, answers_of(rows, {None: 0.5}), settings, NOW)
    assert found is None
    assert detail.startswith("fairness was not judged")
    assert says in detail
