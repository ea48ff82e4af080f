import json
from typing import Any

from equipment.maskable_texts import maskable_texts
from hypothesis import given
from hypothesis import strategies as st

from pegel.schemas.masking import mask
from pegel.serving.trace_masking import MAX_CHARACTERS, masked_json, masked_text, masked_trace

KEY = "sk-" + "a1B2" * 8
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from([KEY, "ada@example.org"])
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner))


def _trace(text: str, **span: Any) -> dict[str, Any]:
    attributes = {"mlflow.spanInputs": json.dumps({"text": text}), "mlflow.spanOutputs": json.dumps(text)}
    root = {"name": "predict", "end_time_unix_nano": 2, "events": [], "status": {"code": "STATUS_CODE_OK"}}
    metadata = {"mlflow.traceInputs": text[:250], "mlflow.source.name": "serve"}
    info = {"trace_id": "tr-1", "client_request_id": text, "request_preview": text[:100], "trace_metadata": metadata}
    return {"info": info, "data": {"spans": [root | {"attributes": attributes} | span]}}


@given(VALUES)
def test_masked_attribute_stays_json_and_holds_no_secret(value: Any) -> None:
    masked = masked_json(json.dumps(value))
    json.loads(masked)
    assert KEY not in masked
    assert "ada@example.org" not in masked


@given(VALUES)
def test_masking_an_attribute_twice_changes_nothing(value: Any) -> None:
    once = masked_json(json.dumps(value))
    assert masked_json(once) == once


@given(maskable_texts)
def test_a_text_is_masked_as_the_stream_masks_it(text: str) -> None:
    assert masked_text(text, 10**9) == mask(text)


@given(st.integers(0, 45), st.integers(0, 6000))
def test_no_cut_leaves_a_part_of_a_secret(before: int, after: int) -> None:
    text = "x" * (MAX_CHARACTERS - before) + f" {KEY} " + "y" * after
    found = masked_trace(_trace(text))
    assert KEY[:8] not in json.dumps(found)


def test_previews_are_made_of_what_is_masked() -> None:
    # MLflow's own preview would end within the key, where no rule knows it any more.
    found = masked_trace(_trace("x" * 90 + f" {KEY}"))
    assert "sk-" not in json.dumps(found)
    assert found["info"]["request_preview"].startswith('{"text": "xxx')


def test_headers_chunks_attachments_and_unended_spans_are_left_out() -> None:
    attributes = {"extra_headers": json.dumps({"api-key": "k"}), "model": '"gpt"'}
    events = [
        {"name": "mlflow.chunk.item.0", "attributes": {"mlflow.chunk.value": "ada@exam"}},
        {"name": "exception", "attributes": {"exception.message": "not ada@example.org"}},
    ]
    trace = _trace("a", attributes=attributes, events=events)
    trace["data"]["spans"].append(trace["data"]["spans"][0] | {"end_time_unix_nano": None})
    (span,) = masked_trace(trace)["data"]["spans"]
    assert span["attributes"] == {"model": '"gpt"'}
    assert [event["attributes"] for event in span["events"]] == [{"exception.message": "not [email]"}]


def test_an_attribute_that_stays_too_long_is_only_counted() -> None:
    masked = masked_json(json.dumps([0.123456789] * 100_000))
    assert "characters cut" in json.loads(masked)
