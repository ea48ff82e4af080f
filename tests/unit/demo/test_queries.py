"""The demo's queries: seeded, and the late ones are strangers to what the champion was trained on."""

import random
from pathlib import Path

import pytest

from pegel.errors import SettingsError
from pegel.local.demo.queries import QueryPool, clinc_pool, draw, generated_pool


def _usual_never_trained_on(pool: QueryPool) -> bool:
    return not {q.text for q in pool.usual} & {q.text for q in pool.training}


def test_the_same_seed_gives_the_same_queries() -> None:
    assert generated_pool(3) == generated_pool(3)
    assert generated_pool(3) != generated_pool(4)


def test_generated_live_queries_were_not_trained_on_and_novel_labels_are_unknown() -> None:
    pool = generated_pool(7)
    assert _usual_never_trained_on(pool)
    assert not {q.label for q in pool.novel} & {q.label for q in pool.training}
    assert all(q.text and "{" not in q.text for q in (*pool.training, *pool.novel, *pool.out_of_scope))


def test_clinc_champion_is_trained_on_nine_domains_of_the_training_split_only(shared_data: Path) -> None:
    pool = clinc_pool(shared_data / "clinc150_full.json")
    assert len(pool.training) == 9 * 15 * 100
    assert len({q.label for q in pool.training}) == 9 * 15
    assert len({q.label for q in pool.novel}) == 15
    assert not {q.label for q in pool.novel} & {q.label for q in pool.training}
    assert len(pool.out_of_scope) == 1200


def test_a_file_that_is_not_clinc_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]", encoding="utf-8")
    with pytest.raises(SettingsError, match="must be CLINC150"):
        clinc_pool(tmp_path / "x.json")


def test_before_the_onset_every_query_is_usual_and_after_it_the_shares_hold() -> None:
    pool, rng = generated_pool(7), random.Random(1)
    quiet = [draw(rng, pool, drifted=False, novel_share=0.3, outside_share=0.2) for _ in range(500)]
    known = {q.label for q in pool.usual}
    assert all(q.label in known for q in quiet)
    later = [draw(rng, pool, drifted=True, novel_share=0.3, outside_share=0.2) for _ in range(4000)]
    assert sum(q.label == "oos" for q in later) / 4000 == pytest.approx(0.2, abs=0.03)
    assert sum(q.label not in known for q in later) / 4000 == pytest.approx(0.5, abs=0.04)
