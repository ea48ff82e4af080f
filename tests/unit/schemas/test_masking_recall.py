"""How much of a seeded corpus is masked, by class, and how seldom ordinary text is."""

import json
from collections import Counter
from pathlib import Path

import pytest
from equipment.personal_texts import harmless_texts, planted_texts
from hypothesis import given
from hypothesis import strategies as st

from pegel.schemas.masking import mask, mask_identifier

EACH = 1500
RECALL = 0.99
FALSE_ALARMS = 0.001


def test_of_each_class_at_least_99_in_100_are_masked_and_nothing_of_them_is_left() -> None:
    planted, left = Counter[str](), Counter[str]()
    for one in planted_texts(31, EACH):
        masked = mask(one.text)
        planted[one.kind] += 1
        left[one.kind] += one.leaks(masked)
    assert set(planted) == {"email", "phone", "named phone", "iban", "card", "ip", "secret"}
    recall = {kind: 1 - left[kind] / count for kind, count in planted.items()}
    assert all(share >= RECALL for share in recall.values()), recall


def test_a_planted_text_stays_json_where_it_was() -> None:
    for one in planted_texts(32, 300):
        if one.text.startswith("{"):
            assert set(json.loads(mask(one.text))) == {"n", "input"}


def test_orders_dates_versions_and_ids_are_left_as_they_are() -> None:
    texts = list(harmless_texts(33, 10_000))
    changed = [(text, mask(text)) for text in texts if mask(text) != text]
    assert len(changed) <= FALSE_ALARMS * len(texts), changed[:10]


def test_real_queries_are_left_as_they_are(shared_data: Path) -> None:
    parts = json.loads((shared_data / "clinc150_full.json").read_text(encoding="utf-8"))
    queries = [text for rows in parts.values() for text, _ in rows]
    changed = [text for text in queries if mask(text) != text]
    assert len(queries) > 20_000
    assert len(changed) <= FALSE_ALARMS * len(queries), changed[:10]


@pytest.mark.parametrize("wrong", ["4111 1111 1111 1112", "GB83 WEST 1234 5698 7654 32"])
def test_a_wrong_check_digit_is_no_card_and_no_account(wrong: str) -> None:
    assert mask(f"it is {wrong}") == f"it is {wrong}"


@given(st.uuids().map(str) | st.uuids().map(lambda one: one.hex))
def test_a_uuid_stays_as_it_is(text: str) -> None:
    assert mask_identifier(text) == text


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=30, unique=True))
def test_different_ids_stay_different(numbers: list[int]) -> None:
    ids = [f"user{number}@example.org" for number in numbers]
    masked = {mask_identifier(one) for one in ids}
    assert len(masked) == len(ids)
    assert not any("@" in one for one in masked)
