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
    frame = spark.createDataFrame(list(enumerate(texts)), "i int, text string").select("i", "text", masked_text())
    rows = frame.orderBy("i").collect()
    assert len(rows) > 1000
    assert [row.masked for row in rows[: len(CORPUS)]] == [case["masked"] for case in CORPUS]
    different = [(row.text, mask(row.text), row.masked) for row in rows if mask(row.text) != row.masked]
    assert different == []


def test_masked_null_is_null_and_a_megabyte_of_hostile_text_does_not_overflow_the_stack(spark):
    escapes = "\\u00e9" * 200_000
    texts = [None, "@" + "a." * 500_000, "a@" + escapes, '"password":"' + escapes, "eyJa." * 200_000]
    rows = spark.createDataFrame([(text,) for text in texts], "text string").select(masked_text()).collect()
    assert [row.masked for row in rows] == [text and mask(text) for text in texts]


def masked_text():
    from pyspark.sql.functions import col

    return masked(col("text")).alias("masked")
