"""The local resource refuses what the real one refuses; asked by the SDK and by plain HTTP."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from equipment.openai_resource import BASE_MODEL, DEPLOYMENT, KEY, LIMITED, local_resource

from pegel.local.openai import LocalOpenAi

ASKED: dict[str, Any] = {"model": DEPLOYMENT, "messages": [{"role": "user", "content": "play a song"}]}


@pytest.fixture
def http(resource: LocalOpenAi) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=resource.base_url, headers={"api-key": KEY}) as client:
        yield client


def refused(answer: httpx.Response) -> tuple[int, str | None, str | None]:
    error = answer.json()["error"]
    return answer.status_code, error.get("code"), error.get("param")


@pytest.mark.parametrize("headers", [{}, {"api-key": "wrong"}, {"Authorization": "Bearer wrong"}, {"api-key": "é"}])
@pytest.mark.parametrize("path", ["chat/completions", "files", "fine_tuning/jobs"])
def test_call_without_the_key_is_refused(resource: LocalOpenAi, headers: dict[str, str], path: str) -> None:
    given = {name: value.encode() for name, value in headers.items()}
    answer = httpx.post(resource.base_url + path, json=ASKED, headers=given)
    assert refused(answer) == (401, "401", None)


@pytest.mark.parametrize("headers", [{"api-key": KEY}, {"Authorization": f"Bearer {KEY}"}])
def test_key_is_taken_in_both_headers(resource: LocalOpenAi, headers: dict[str, str]) -> None:
    answer = httpx.post(f"{resource.base_url}chat/completions", json=ASKED, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] == answer.headers["apim-request-id"]


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"frequency": 1}, "unknown_parameter", "frequency"),
        ({"temperature": 2.5}, "invalid_value", "temperature"),
        ({"n": 2}, "invalid_value", "n"),
        ({"max_tokens": 0}, "invalid_value", "max_tokens"),
        ({"messages": []}, "invalid_value", "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "invalid_value", "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "missing_required_parameter", "messages.0.content"),
        ({"messages": [{"role": "user", "content": "x", "mood": "good"}]}, "unknown_parameter", "messages.0.mood"),
        ({"stream_options": {"include_usage": True}}, "invalid_value", None),
        ({"max_tokens": 1, "max_completion_tokens": 1}, "invalid_value", None),
        ({"model": None}, "invalid_value", "model"),
    ],
)
def test_request_that_the_api_does_not_know_is_refused_with_its_parameter(
    http: httpx.Client, change: dict[str, Any], code: str, param: str | None
) -> None:
    assert refused(http.post("chat/completions", json={**ASKED, **change})) == (400, code, param)


@pytest.mark.parametrize("field", ["model", "messages"])
def test_missing_field_is_named(http: httpx.Client, field: str) -> None:
    body = {name: value for name, value in ASKED.items() if name != field}
    assert refused(http.post("chat/completions", json=body)) == (400, "missing_required_parameter", field)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model": NaN'])
def test_body_that_is_no_object_is_refused(http: httpx.Client, body: bytes) -> None:
    assert http.post("chat/completions", content=body).status_code == 400


def test_unknown_deployment_is_refused_by_the_code_that_the_sdk_reads(resource: LocalOpenAi) -> None:
    client = openai.OpenAI(base_url=resource.base_url, api_key=KEY, max_retries=0)
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gone", messages=[{"role": "user", "content": "x"}])
    assert caught.value.code == "DeploymentNotFound"
    assert caught.value.request_id


def test_stream_begins_without_choices_and_ends_with_usage_and_done(http: httpx.Client) -> None:
    body = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}
    lines = [line for line in http.post("chat/completions", json=body).text.split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert chunks[0]["choices"] == []
    assert chunks[0]["prompt_filter_results"][0]["content_filter_results"]["hate"]["severity"] == "safe"
    assert [c["finish_reason"] for chunk in chunks[1:-1] for c in chunk["choices"]][-1] == "stop"
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["total_tokens"] > 0) == ([], True)
    plain = http.post("chat/completions", json={**ASKED, "stream": True}).text
    assert '"usage"' not in plain


def test_rate_limit_counts_down_and_lets_in_again_when_its_time_has_come() -> None:
    seconds = [0.0]
    with (
        local_resource(clock=lambda: seconds[0]) as server,
        httpx.Client(base_url=server.base_url, headers={"api-key": KEY}) as client,
    ):
        body = {**ASKED, "model": LIMITED}
        left = [client.post("chat/completions", json=body).headers["x-ratelimit-remaining-requests"] for _ in "ab"]
        assert left == ["1", "0"]
        answer = client.post("chat/completions", json=body)
        assert refused(answer)[:2] == (429, "429")
        assert answer.headers["retry-after"] == "30"
        assert 29_000 < int(answer.headers["retry-after-ms"]) <= 30_001
        seconds[0] = 30.0
        assert client.post("chat/completions", json=body).status_code == 200


def test_models_are_those_that_can_be_trained(http: httpx.Client) -> None:
    assert [model["id"] for model in http.get("models").json()["data"]] == [BASE_MODEL]


def test_token_for_another_audience_opens_nothing(resource: LocalOpenAi) -> None:
    def token(audience: str) -> str:
        query = {"api-version": "2019-08-01", "resource": audience}
        headers = {"X-IDENTITY-HEADER": resource.identity.header}
        return str(httpx.get(f"{resource.host}/msi/token", params=query, headers=headers).json()["access_token"])

    def status(given: str) -> int:
        headers = {"Authorization": f"Bearer {given}"}
        return httpx.post(f"{resource.base_url}chat/completions", json=ASKED, headers=headers).status_code

    assert status(token("https://ai.azure.com")) == 200
    assert status(token("https://management.azure.com")) == 401
