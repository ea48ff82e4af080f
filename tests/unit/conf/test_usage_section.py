"""The section `usage`, as everybody reads it who needs no key: strictly, or not at all."""

from pathlib import Path

import pytest

from pegel.conf.usage_section import read_usage
from pegel.errors import SettingsError
from pegel.schemas.usage_policy import Risk, UsagePolicy


def write(folder: Path, text: str) -> str:
    path = folder / "policy.yml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_shipped_policy_tells_its_uses_without_any_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PEGEL_DEMO_KEY", raising=False)
    assert [caller.name for caller in read_usage("demo-policy.yml").policy.callers]
    policy = read_usage("policy.yml").policy
    assert policy.disclosure
    assert any(use.name == "social-scoring" for use in policy.forbidden_uses)
    assert policy.purposes["advice"] is Risk.HIGH


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("usage: [", "not valid YAML"),
        ("- a", "must hold sections such as 'rules:' at its top, not a list"),
        ("usage: 3", "refused at usage: it must hold"),
        ("usage:", "refused at usage: it must hold"),
        ("usage: {}", "usage.disclosure"),
        ("usage: {disclosure: a, purposes: {a: {risk: none}}}", "usage.purposes.a.risk"),
        ("usage: {disclosure: a, purposes: {Big Name: {risk: low}}}", "usage.purposes.Big Name"),
        ("usage: {disclosure: a, forbidden_uses: [{}]}", "usage.forbidden_uses.0.name"),
        ("usage: {disclosure: 3}", "usage.disclosure"),
        ("usage: {disclosure: a, review: {withhold_from: severe}}", "usage.review.withhold_from"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as refused:
        read_usage(write(tmp_path, text))
    assert "\n" not in str(refused.value)
    assert "_Section" not in str(refused.value)


@pytest.mark.parametrize("text", ["rules: []\n", "", "# nothing yet\n"])
def test_a_file_without_the_section_says_nothing(tmp_path: Path, text: str) -> None:
    assert read_usage(write(tmp_path, text)).policy == UsagePolicy()
