from pathlib import Path

import pytest
import yaml

from pegel.alerts.policy import load_policy
from pegel.errors import SettingsError
from pegel.schemas.policy import Action, RuleKind

ROOT = Path(__file__).resolve().parents[3]
RUNBOOK = ROOT / "docs" / "runbook"
SHIPPED = ("policy.yml", "demo-policy.yml")

GOOD = """
alerts_per_month: 2
uncalibrated_may_retrain: false
resolve_after_blocks: 4
rules:
  - {name: words, kind: drift, columns: [input_words], minimum_effect: 0.2, severity: 3, action: page,
     runbook: drift.md}
"""


@pytest.fixture
def write(tmp_path):
    def _write(text: str) -> str:
        path = tmp_path / "policy.yml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return _write


def test_every_file_of_conf_that_has_rules_is_a_shipped_policy():
    files = {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in (ROOT / "conf").glob("*.yml")}
    assert {name for name, content in files.items() if "rules" in content} == set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_rule_of_a_shipped_policy_has_its_runbook_page(name):
    sections = ("## Symptom", "## Metric", "## Action", "## Verification")
    for rule in load_policy(name).rules:
        page = (RUNBOOK / rule.runbook).read_text(encoding="utf-8")
        assert [section for section in sections if section not in page] == []


def test_shipped_policy_has_a_rule_of_each_kind():
    assert {rule.kind for rule in load_policy("policy.yml").rules} == set(RuleKind)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_policy_retrains_on_drift_of_any_column_and_pages_where_events_are_missing(name):
    rules = load_policy(name).rules
    [silent_model] = [rule for rule in rules if rule.name == "silent-model"]
    # What is remembered does not tell a dead model from one that is used by day only.
    assert (silent_model.columns, silent_model.action) == (("models",), Action.NONE)
    asked = {rule.kind: (rule.columns, rule.action) for rule in rules if rule is not silent_model}
    # Only the demo's has no rule on accuracy: its story is of one incident.
    assert asked.pop(RuleKind.QUALITY, (("accuracy",), Action.PAGE)) == (("accuracy",), Action.PAGE)
    assert asked == {
        RuleKind.DRIFT: ("*", Action.RETRAIN),
        RuleKind.RATE: (("error_rate", "unfinished_rate"), Action.PAGE),
        RuleKind.CONSERVATION: ("*", Action.PAGE),
        RuleKind.NO_DATA: (("partitions",), Action.PAGE),
        RuleKind.DEAD_LETTERS: ("*", Action.PAGE),
        RuleKind.HEARTBEAT: ("*", Action.PAGE),
        RuleKind.LAG: ("*", Action.PAGE),
    }


def test_only_the_demo_lets_an_uncalibrated_alarm_retrain():
    assert [load_policy(name).uncalibrated_may_retrain for name in SHIPPED] == [False, True]


def test_policy_is_read_as_it_is_written(write):
    policy = load_policy(write(GOOD))
    assert (policy.alerts_per_month, policy.resolve_after_blocks) == (2.0, 4)
    [rule] = policy.rules
    assert (rule.columns, rule.action, rule.minimum_effect) == (("input_words",), Action.PAGE, 0.2)
    assert (rule.covers("input_words"), rule.covers("output")) == (True, False)


def test_policy_hash_names_the_content_and_not_the_spelling(write):
    first = load_policy(write(GOOD)).hash
    assert (
        load_policy(write("# a comment\n" + GOOD.replace("alerts_per_month: 2", "alerts_per_month: 2.0"))).hash == first
    )
    assert load_policy(write(GOOD.replace("minimum_effect: 0.2", "minimum_effect: 0.3"))).hash != first


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("alerts_per_month: 2", "alerts_per_month: 0", "alerts_per_month"),
        ("severity: 3", "severity: 5", "severity"),
        ("action: page", "action: reboot", "action"),
        ("kind: drift", "kind: weather", "kind"),
        ("runbook: drift.md", "runbook: ../../etc/passwd", "runbook"),
        ("columns: [input_words]", "columns: []", "at least one name"),
        ("minimum_effect: 0.2", "minimum_effect: .nan", "minimum_effect"),
        ("name: words,", "name: words, colour: red,", "colour"),
        ("resolve_after_blocks: 4", "", "resolve_after_blocks"),
        (
            "kind: drift, columns: [input_words], minimum_effect: 0.2, severity: 3, action: page",
            "kind: conservation, severity: 3, action: retrain",
            "cannot be mended",
        ),
        (
            "kind: drift, columns: [input_words], minimum_effect: 0.2, severity: 3, action: page",
            "kind: rate, severity: 3, action: retrain",
            "'words' of kind rate must ask for none",
        ),
        ("kind: drift", "kind: no_data", "does not say for_seconds"),
        ("kind: drift", "kind: no_data, for_seconds: 60", "whose silence it is about"),
        ("kind: drift", "kind: no_data, for_seconds: 3073", "only the last 3072 s are remembered"),
        ("kind: drift", "kind: dead_letters, for_seconds: 60", "between 0 and 1"),
        ("kind: drift", "kind: rate", "'input_words' is no rate that is judged"),
        ("columns: [input_words]", "columns: [error_rate]", "only a rule of kind rate hears of"),
        ("columns: [input_words]", "columns: [accuracy]", "only a rule of kind quality hears of"),
        ("kind: drift", "kind: quality", "'input_words' is no rate that is judged"),
        (
            "kind: drift, columns: [input_words], minimum_effect: 0.2",
            "kind: rate, columns: [error_rate], minimum_effect: 5",
            "never larger than 3.14",
        ),
        ("rules:", "rules: [", "not valid YAML"),
    ],
)
def test_policy_refuses_what_cannot_be_meant(write, old, new, says):
    assert old in GOOD
    with pytest.raises(SettingsError, match=says):
        load_policy(write(GOOD.replace(old, new)))


def test_policy_refuses_two_rules_of_one_name(write):
    with pytest.raises(SettingsError, match="'words' is there twice"):
        load_policy(write(GOOD + GOOD[GOOD.index("  - {") :]))


def test_policy_that_is_not_there_is_named():
    with pytest.raises(SettingsError, match="no-such-policy"):
        load_policy("no-such-policy.yml")
