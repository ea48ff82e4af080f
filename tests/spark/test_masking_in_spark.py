import json
from pathlib import Path

import pytest
from equipment.maskable_texts import maskable_documents, maskable_texts
from hypothesis import given, settings
from hypothesis import strategies as st

from pegel.schemas.masking import mask
from pegel.streaming.masking import masked

pytestmark = pytest.mark.spark

CORPUS = json.loads((Path(__file__).parents[1] / "corpus" / "masking.json").read_text(encoding="utf-8"))


def generated_texts(examples):
    texts = set()

    @given(st.one_of(maskable_texts, maskable_documents))
    @settings(max_examples=examples, database=None)
    def collect(text):
        texts.add(text)

    collect()
    return sorted(texts)


def test_masked_equals_mask_on_the_corpus_and_on_generated_texts(spark):
    texts = [case["text"] for case in CORPUS] + generated_texts(1500)
    found = masked_by_spark(spark, texts)
    assert len(found) == len(texts) > 1000
    assert found[: len(CORPUS)] == [case["masked"] for case in CORPUS]
    wanted = map(mask, texts)
    assert [case for case in zip(texts, wanted, found, strict=True) if case[1] != case[2]] == []


def test_masked_null_is_null_and_a_megabyte_of_hostile_text_does_not_overflow_the_stack(spark):
    escapes = "\\u00e9" * 200_000
    texts = [None, "@" + "a." * 500_000, "a@" + escapes, '"password":"' + escapes, "eyJa." * 200_000]
    assert masked_by_spark(spark, texts) == [text and mask(text) for text in texts]


def masked_by_spark(spark, texts):
    from pyspark.sql.functions import col

    frame = spark.createDataFrame(list(enumerate(texts)), "i int, text string").select("i", masked(col("text")))
    return [text for _, text in sorted(frame.collect())]
