import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from pegel.conf.settings import Settings
from pegel.lifecycle import openai_fine_tuned, openai_model_code
from pegel.lifecycle.adapter import adapter_of
from pegel.lifecycle.openai_model import CONFIDENCE, WATCHED, model_config, watched_columns
from pegel.lifecycle.openai_model_code import SEVERITIES, retry_after, tokens, worst
from pegel.schemas import model_io
from pegel.schemas.model_io import FailureType
from pegel.streaming.profile.column_sql import value_of

ENTRY = (
    st.fixed_dictionaries({"filtered": st.booleans(), "severity": st.sampled_from(("safe", "low", "medium", "high"))})
    | st.fixed_dictionaries({"filtered": st.booleans(), "detected": st.booleans()})
    | st.just({"code": "content_filter_error", "message": "down"})
    | st.none()
)
RESULTS = st.dictionaries(st.sampled_from(("hate", "violence", "jailbreak", "error", "new_kind")), ENTRY)


def source() -> str:
    return Path(openai_model_code.__file__).read_text(encoding="utf-8")


def test_model_code_imports_nothing_of_the_project() -> None:
    assert not re.search(r"^\s*(from|import) pegel", source(), re.MULTILINE)


def test_model_code_uses_the_names_of_the_contract() -> None:
    text = source()
    for name in (model_io.OUTPUT, model_io.PROBABILITIES, model_io.FEATURES, model_io.EVENT_FIELDS, model_io.ERROR):
        assert f'"{name}"' in text
    for kind in FailureType:
        assert f'"{kind}"' in text
    assert f'"{model_io.DELTA}": piece' in text
    assert f'"{model_io.ANSWER}": self' in text
    assert openai_fine_tuned.SCOPE == openai_model_code.SCOPE


@given(RESULTS)
def test_filters_that_did_not_all_run_are_never_safe(results: dict[str, Any]) -> None:
    said = worst(results)
    assert said in SEVERITIES
    silent = [entry for entry in results.values() if not entry or not entry.keys() & {"severity", "detected"}]
    if silent or not results:
        assert said != "safe"


@given(RESULTS, RESULTS)
def test_more_results_are_never_less_severe(one: dict[str, Any], other: dict[str, Any]) -> None:
    both = one | {f"other_{name}": entry for name, entry in other.items()}
    if one and other:
        assert SEVERITIES.index(worst(both)) == max(SEVERITIES.index(worst(r)) for r in (one, other))


def chunk(results: dict[str, Any]) -> ChatCompletionChunk:
    choice = {"index": 0, "delta": {"content": "x"}, "finish_reason": None, "content_filter_results": results}
    head = {"id": "", "created": 0, "model": "", "object": "chat.completion.chunk"}
    return ChatCompletionChunk.model_validate(head | {"choices": [choice]})


@given(st.lists(st.dictionaries(st.sampled_from(("hate", "violence", "jailbreak")), ENTRY), min_size=1, max_size=5))
def test_stream_is_as_severe_as_its_worst_chunk_in_any_order(each: list[dict[str, Any]]) -> None:
    forward, backward = openai_model_code._Reply(), openai_model_code._Reply()
    for results in each:
        forward.take(chunk(results))
    for results in reversed(each):
        backward.take(chunk(results))
    said = [worst(results) for results in each if results] or ["unknown"]
    assert worst(forward.completion_filter) == max(said, key=SEVERITIES.index)
    assert worst(forward.completion_filter) == worst(backward.completion_filter)
    assert forward.text == "x" * len(each)


@pytest.mark.parametrize(
    ("said", "label", "known"),
    [
        ("music", "music", True),
        ('"Music".', "music", True),
        (" `alarm` ", "alarm", True),
        ("etc.", "etc.", True),
        ("Etc", "Etc", False),
        ("US", "US", True),
        ("us", "us", True),
        ("I think it is music", "I think it is music", False),
        ("", "", False),
    ],
)
def test_label_is_known_whatever_stands_around_it(said: str, label: str, known: bool) -> None:
    model = openai_model_code.OpenAiPrompt()
    model._labels = {name: name.casefold() for name in ("music", "alarm", "etc.", "US", "us")}
    assert model._label_of(said.strip()) == (label, known)


@given(st.dictionaries(st.sampled_from(("prompt_tokens", "completion_tokens")), st.none() | st.integers(0, 10**6)))
def test_tokens_that_were_not_counted_are_left_out(usage: dict[str, Any]) -> None:
    details = {"prompt_tokens_details": None, "completion_tokens_details": {"reasoning_tokens": None}}
    found = tokens(usage | details)
    assert sorted(found.values()) == sorted(count for count in usage.values() if count is not None)


def test_all_kinds_of_tokens_have_their_genai_names() -> None:
    usage = {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 4, "audio_tokens": 5, "image_tokens": 6},
        "completion_tokens_details": {
            "reasoning_tokens": 7,
            "accepted_prediction_tokens": 8,
            "rejected_prediction_tokens": 9,
        },
    }
    prefix = "gen_ai.usage."
    assert {name.removeprefix(prefix): count for name, count in tokens(usage).items()} == {
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_read.input_tokens": 3,
        "cache_creation.input_tokens": 4,
        "audio.input_tokens": 5,
        "image.input_tokens": 6,
        "reasoning.output_tokens": 7,
        "accepted_prediction.output_tokens": 8,
        "rejected_prediction.output_tokens": 9,
    }


def error(**headers: str) -> Any:
    return SimpleNamespace(response=SimpleNamespace(headers={k.replace("_", "-"): v for k, v in headers.items()}))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry_after": "3"}, 3.0),
        ({"retry_after": "3", "retry_after_ms": "250"}, 0.25),
        ({"retry_after": "-1"}, 0.0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "inf"}, None),
        ({"retry_after": "Wed, 25 Nov 2020 03:00:00 GMT"}, 0.0),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(error(**headers)) == seconds
    assert retry_after(ValueError()) is None


def test_retry_after_may_be_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert 3000 < (retry_after(error(retry_after=later)) or 0) <= 3600


def test_configuration_says_where_the_key_lies_and_holds_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEGEL_OPENAI_API_KEY", "very-secret")
    config = model_config(Settings().openai, "d", "p/1")
    assert config["api_key"] == {"env": "PEGEL_OPENAI_API_KEY"}
    assert "very-secret" not in repr(config)


@pytest.mark.parametrize("logprobs", [False, True])
def test_stream_knows_every_watched_column_and_confidence_only_where_there_is_one(logprobs: bool) -> None:
    settings = Settings.model_validate({"openai": {"logprobs": logprobs}}).openai
    columns = watched_columns(settings)
    assert [column for column in columns if column not in WATCHED] == ([CONFIDENCE] if logprobs else [])
    for column in columns:
        assert value_of(column)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("text_classifier", "TextClassifierAdapter"),
        ("openai_prompt", "OpenAiPromptAdapter"),
        ("openai_fine_tuned", "OpenAiFineTunedAdapter"),
    ],
)
def test_kind_of_the_settings_chooses_the_adapter(kind: str, name: str) -> None:
    assert type(adapter_of(Settings.model_validate({"model": {"kind": kind}}))).__name__ == name
