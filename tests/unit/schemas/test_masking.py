import json
import re
import time
from pathlib import Path

import pytest
from equipment.maskable_texts import maskable_documents, maskable_texts
from hypothesis import given, settings
from hypothesis import strategies as st

from pegel.schemas.masking import FAMILIES, HINTS, MIN_BYTES, SIGNS, mask, mask_keys

CORPUS = json.loads((Path(__file__).parents[2] / "corpus" / "masking.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case["about"])
def test_mask_equals_the_corpus(case):
    assert mask(case["text"]) == case["masked"]


def test_each_rule_is_shown_by_the_corpus():
    for rule in (rule for family in FAMILIES for rule in family.rules):
        assert any(re.search(rule.pattern, case["text"]) for case in CORPUS), rule.name


@given(maskable_texts)
@settings(max_examples=300)
def test_every_text_with_a_match_holds_its_hint_that_of_its_family_and_a_sign(text):
    for hint, rule in ((family.hint, rule) for family in FAMILIES for rule in family.rules):
        if re.search(rule.pattern, text):
            assert re.search(rule.hint, text), rule.name
            assert re.search(hint, text), rule.name
            assert re.search(SIGNS, text), rule.name
        for match in re.finditer(rule.pattern, text):
            assert len(match[0].encode()) >= MIN_BYTES, rule.name


@given(st.lists(maskable_texts, min_size=1, max_size=3), st.sampled_from(("    ", "x", "1", "@", "\\u00e9", "")))
@settings(max_examples=300)
def test_what_is_masked_in_a_text_is_hinted_at_in_every_longer_one_around_it(texts, between):
    whole = between.join(texts)
    if any(mask(text) != text for text in texts):
        assert re.search(SIGNS, whole)
        assert re.search(HINTS, whole)


@given(st.dictionaries(maskable_texts, st.integers(), max_size=6))
@settings(max_examples=300)
def test_keys_that_are_masked_hold_nothing_and_all_values_stay(fields):
    masked = mask_keys(fields)
    assert all(mask(key) == key for key in masked)
    assert sorted(masked.values()) == sorted(fields.values())
    assert mask_keys(masked) == masked


def test_plain_names_hint_at_nothing():
    names = (
        "country",
        "amount",
        "f_1",
        "emb_12",
        "pca10",
        "pca11",
        "time_of_day",
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
    )
    assert not re.search(HINTS, "    ".join(names))


@given(maskable_texts)
@settings(max_examples=500)
def test_masking_twice_is_masking_once(text):
    assert mask(mask(text)) == mask(text)


@given(maskable_documents)
@settings(max_examples=400)
def test_an_object_or_array_of_json_stays_one(text):
    read = json.loads(text)
    masked = json.loads(mask(text)) if isinstance(read, dict | list) else None
    assert masked is None or type(masked) is type(read)


@pytest.mark.parametrize(
    "piece",
    ["a", "@", "a@", "a.", "eyJ", "eyJ.", "sk-", "password", "password:", "\\u00e9", "sig=", "bearer ", " ", "="],
)
def test_hostile_text_takes_time_in_proportion_to_its_length(piece):
    def seconds(length):
        text = "@=:earer sk-" + piece * (length // len(piece)) + "@"
        started = time.process_time()
        mask(text)
        return time.process_time() - started

    assert seconds(200_000) < 30 * max(seconds(20_000), 0.02)
