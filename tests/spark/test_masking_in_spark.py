import json
from pathlib import Path

import pytest
from equipment.maskable_texts import maskable_documents, maskable_texts
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql.functions import array, col, lit, transform

from pegel.schemas.masking import mask, mask_keys
from pegel.streaming.masked_keys import keys_may_match, renamed, with_keys
from pegel.streaming.masking import masked

pytestmark = pytest.mark.spark

CORPUS = json.loads((Path(__file__).parents[1] / "corpus" / "masking.json").read_text(encoding="utf-8"))


KEYS = st.one_of(
    maskable_texts,
    st.sampled_from(
        ("a@b.org", "b@b.org", "c@b.org", "[email]", "[email]#2", "[email]#3", "[email]#2#3", "1", "12345")
    ),
    st.from_regex("[a-z]{1,3}[0-9]{1,2}(_[a-z]{4})?", fullmatch=True),
)
NAMED = ("b@b.org", "=")


def generated(strategy, examples):
    found = []

    @given(strategy)
    @settings(max_examples=examples, database=None)
    def collect(example):
        found.append(example)

    collect()
    return found


def test_masked_equals_mask_on_the_corpus_and_on_generated_texts(spark):
    texts = [case["text"] for case in CORPUS]
    texts += sorted(set(generated(st.one_of(maskable_texts, maskable_documents), 1500)))
    found = masked_by_spark(spark, texts)
    assert len(found) == len(texts) > 1000
    assert found[: len(CORPUS)] == [case["masked"] for case in CORPUS]
    wanted = map(mask, texts)
    assert [case for case in zip(texts, wanted, found, strict=True) if case[1] != case[2]] == []


def test_masked_null_is_null_and_a_megabyte_of_hostile_text_does_not_overflow_the_stack(spark):
    escapes = "\\u00e9" * 200_000
    texts = [None, "@" + "a." * 500_000, "a@" + escapes, '"password":"' + escapes, "eyJa." * 200_000]
    assert masked_by_spark(spark, texts) == [text and mask(text) for text in texts]


def test_keys_of_maps_are_masked_as_mask_keys_does_it(spark):
    pairs = generated(
        st.lists(st.dictionaries(KEYS, st.integers(0, 9), max_size=5) | st.none(), min_size=2, max_size=2), 400
    )
    pairs += [[{"a@b.org": 1, "[email]#2": 2, "z@b.org": 3}, None], [{f"{n}@b.org": n for n in range(5_000)}, {}]]
    rows = [(i, *pair) for i, pair in enumerate(pairs)]
    frame = spark.createDataFrame(rows, "i int, first map<string,bigint>, second map<string,bigint>")
    maps = ("first", "second")
    texts = transform(with_keys(array(lit("a text")), maps, keys_may_match(maps)), masked)
    frame = frame.withColumn("texts", texts).select("i", *(renamed(maps, n, "texts", 1, NAMED) for n in range(2)))
    found = [list(row[1:]) for row in sorted(frame.collect())]
    wanted = [[one and mask_keys(one, NAMED) for one in pair] for pair in pairs]
    assert [case for case in zip(pairs, wanted, found, strict=True) if case[1] != case[2]] == []
    assert found[-2] == [{"[email]": 1, "[email]#2": 3}, None]
    assert sum(found[-1][0].values()) == sum(range(5_000))
    assert sum(pair[0] != one[0] for pair, one in zip(pairs, found, strict=True)) > 40


def masked_by_spark(spark, texts):
    frame = spark.createDataFrame(list(enumerate(texts)), "i int, text string").select("i", masked(col("text")))
    return [text for _, text in sorted(frame.collect())]
