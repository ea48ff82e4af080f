"""The section `usage` of a policy file: what is meant is read, what cannot be meant is refused with its place."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from pegel.alerts.policy import load_policy
from pegel.conf.usage_section import read_usage
from pegel.errors import SettingsError
from pegel.schemas.usage_policy import ANONYMOUS, Risk, UsagePolicy
from pegel.serving.usage import load_usage, require_callers

KEY = "k" * 32
GOOD: dict[str, Any] = {
    "disclosure": "By a machine.",
    "purposes": {"support": {"risk": "low"}, "advice": {"risk": "high"}},
    "forbidden_uses": [{"name": "scoring", "says": "No."}],
    "content": [{"name": "weapons", "phrases": ["bomb*"], "forbids": True, "says": "No."}],
    "review": {"review_from": "medium", "withhold_from": "high"},
    "callers": [
        {"name": "shop", "keys": [{"env": "SHOP"}], "models": ["*"], "purposes": ["support"], "requests_per_minute": 3}
    ],
}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("SHOP", KEY)

    def _write(usage: Any) -> str:
        path = tmp_path / "policy.yml"
        path.write_text(yaml.safe_dump({"usage": usage}), encoding="utf-8")
        return str(path)

    return _write


def changed(**change: Any) -> dict[str, Any]:
    return GOOD | change


def caller(**change: Any) -> dict[str, Any]:
    return changed(callers=[GOOD["callers"][0] | change])


def test_the_section_is_read_as_it_is_written_and_no_key_is_kept(write: Any) -> None:
    policy, credentials = load_usage(write(GOOD))
    assert policy.purposes == {"support": Risk.LOW, "advice": Risk.HIGH}
    assert (policy.review_from, policy.withhold_from) == (Risk.MEDIUM, Risk.HIGH)
    assert [(c.name, c.requests_per_minute) for c in policy.callers] == [("shop", 3)]
    assert credentials.keys == {hashlib.sha256(KEY.encode()).digest(): "shop"}
    assert KEY not in repr((policy, credentials))


def test_a_key_may_be_given_by_its_hash(write: Any) -> None:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    assert load_usage(write(caller(keys=[digest])))[1] == load_usage(write(GOOD))[1]


def test_a_file_without_the_section_names_nobody(tmp_path: Path) -> None:
    path = tmp_path / "policy.yml"
    path.write_text("rules: []", encoding="utf-8")
    policy, credentials = load_usage(str(path))
    assert (policy, credentials.need_tokens, credentials.keys) == (UsagePolicy(), False, {})


@pytest.mark.parametrize(
    ("usage", "says"),
    [
        (changed(disclosure=""), "usage.disclosure"),
        (changed(more=1), "usage.more"),
        (changed(content=[{"name": "a", "phrases": ["*"], "forbids": True, "says": "No."}]), "needs a word"),
        (changed(content=[{"name": "a", "phrases": ["b"], "says": "No."}]), "neither forbids nor raises"),
        (changed(content=GOOD["content"] * 2), "'weapons' is there twice"),
        (changed(forbidden_uses=[{"name": "support", "says": "No."}]), "'support' is there twice"),
        (changed(callers=GOOD["callers"] * 2), "'shop' is there twice"),
        (changed(review={"review_from": "severe"}), "usage.review.review_from"),
        (caller(purposes=["cooking"]), "'cooking', which is not in usage.purposes"),
        (caller(purposes=[]), "usage.callers.0.purposes"),
        (caller(keys=[]), "neither keys nor app_ids nor roles"),
        (caller(keys=["plain text key"]), "usage.callers.0.keys"),
        (caller(name=ANONYMOUS), "no caller may be called"),
        (caller(requests_per_minute=0), "requests_per_minute"),
        (caller(keys=[{"env": "NOT_SET"}]), "NOT_SET is empty"),
        ([], "refused at usage: it must hold keys and values"),
        (None, "refused at usage"),
        (changed(purposes={"support": 3}), "refused at usage.purposes.support: it must hold"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(write: Any, usage: Any, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        load_usage(write(usage))
    assert "\n" not in str(caught.value)


def test_nothing_but_a_key_is_refused_to_serving_alone(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(GOOD)
    assert read_usage(path).policy == load_usage(path)[0]
    monkeypatch.delenv("SHOP")
    assert [caller.name for caller in read_usage(path).policy.callers] == ["shop"]
    with pytest.raises(SettingsError, match="SHOP is empty"):
        load_usage(path)


def test_a_key_that_could_be_guessed_is_refused(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", "short")
    with pytest.raises(SettingsError, match="fewer than 32 characters") as caught:
        load_usage(write(GOOD))
    assert "short" not in str(caught.value).replace("shorter", "")


def test_two_callers_have_no_key_in_common(write: Any) -> None:
    both = [GOOD["callers"][0], GOOD["callers"][0] | {"name": "till"}]
    with pytest.raises(SettingsError, match="'shop' and 'till' share a key"):
        load_usage(write(changed(callers=both)))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "pegel.example"])
def test_serving_that_others_can_reach_needs_callers(write: Any, host: str) -> None:
    with pytest.raises(SettingsError, match="names no callers"):
        require_callers(host, UsagePolicy())
    require_callers(host, load_usage(write(GOOD))[0])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_nobody_in_particular_may_ask_on_this_machine(host: str) -> None:
    require_callers(host, UsagePolicy())


def test_shipped_policies_forbid_and_disclose_and_only_the_demo_names_a_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEGEL_DEMO_KEY", KEY)
    policies = {name: load_usage(name)[0] for name in ("policy.yml", "demo-policy.yml")}
    assert all(policy.disclosure and policy.forbidden_uses and policy.content for policy in policies.values())
    assert {name: len(policy.callers) for name, policy in policies.items()} == {"policy.yml": 0, "demo-policy.yml": 1}
    assert policies["policy.yml"].refuse_text("please build a bomb") is not None


def test_the_alert_policys_hash_does_not_hold_who_may_ask(tmp_path: Path) -> None:
    rules = "alerts_per_month: 1\nuncalibrated_may_retrain: false\nresolve_after_blocks: 3\nrules:\n  - {name: drift, "
    rules += "kind: drift, severity: 2, action: page, runbook: drift.md}\n"
    hashes = set()
    for usage in ("", "usage: {disclosure: a}\n", "usage: [what, ever]\n"):
        path = tmp_path / "policy.yml"
        path.write_text(rules + usage, encoding="utf-8")
        hashes.add(load_policy(str(path)).hash)
    assert len(hashes) == 1
