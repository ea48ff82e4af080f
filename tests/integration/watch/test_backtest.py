"""``pegel backtest`` decides a recorded run again by other policies, and writes nothing."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from equipment.recorded_run import DRIFT, MODEL, POLICY, Run

from pegel.alerts.incident import PIPELINE
from pegel.alerts.policy import load_policy
from pegel.alerts.replayed import compare_rows
from pegel.errors import SettingsError
from pegel.jobs import backtest
from pegel.jobs.wiring.backtesting import Backtest

Row = dict[str, Any]


@pytest.fixture
def tried(
    recorded: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict[str, Any]]]:
    """What the job returns and prints about a policy that is the present one with words replaced."""

    def _try(words: dict[str, str], *arguments: str) -> tuple[int, dict[str, Any]]:
        text = POLICY
        for old, new in words.items():
            assert old in text
            text = text.replace(old, new)
        other = tmp_path / "other.yml"
        other.write_text(text)
        capsys.readouterr()
        faults = [] if "--onsets" in arguments else ["--onsets", "0"]
        code = backtest.main([*recorded.overrides, "--policy", str(other), "--output", "json", *faults, *arguments])
        return code, json.loads(capsys.readouterr().out)

    return _try


def alerts_again(run: Run, first: int | None = None) -> list[Row]:
    history = Backtest(run.tables, run.settings)
    begin, before, *_ = history.span(None, None)
    policy = load_policy(run.settings.watch.policy)
    return [row for batch in history.run(policy, first or begin, before) for row in batch.decided.alerts]


def assert_same(found: list[Row], expected: list[Row]) -> None:
    assert [row["alert_id"] for row in found] == [row["alert_id"] for row in expected]
    for again, row in zip(found, expected, strict=True):
        different = [value.name for value in compare_rows(row, again) if not value.same]
        # Partials know event times to a window's length; only incidents of the pipeline rest on those of a micro-batch.
        assert different == ([] if row["model"] != PIPELINE or row["since"] == again["since"] else ["since"])


def test_the_live_policy_gives_exactly_the_alerts_that_the_stream_wrote(recorded: Run) -> None:
    expected = recorded.tables.read("alerts")
    assert len(expected) > 10
    found = alerts_again(recorded)
    assert_same(sorted(found, key=lambda r: r["alert_id"]), sorted(expected, key=lambda r: r["alert_id"]))


def test_a_backtest_from_the_middle_goes_on_with_what_was_open_then(recorded: Run) -> None:
    # Between the opening of the drift and its end.
    first = 10**9 + DRIFT[0] + 7
    expected = [row for row in recorded.tables.read("alerts") if row["batch_id"] >= first]
    found = alerts_again(recorded, first)
    opened = {row["incident_id"] for row in found if row["sequence"] == 1}
    assert {row["incident_id"] for row in found} - opened, "one was open before"
    assert_same(sorted(found, key=lambda r: r["alert_id"]), sorted(expected, key=lambda r: r["alert_id"]))


def test_a_stricter_policy_tells_what_is_gone_and_writes_nothing(recorded: Run, tried: Callable[..., Any]) -> None:
    before = {path.name: DeltaTable(str(path)).version() for path in recorded.root.iterdir()}
    stricter = {"minimum_effect: 0.2, severity: 2": "minimum_effect: 3, severity: 2"}
    code, found = tried(stricter, "--fail-above", "21")
    assert code == 0, "21 are told, and 35 now"
    counts = {(one["model"], one["rule"]): (one["now"], one["new"]) for one in found["by_rule"]}
    assert counts[MODEL, "drift"] == (2, 0)
    assert counts[MODEL, "errors"] == (1, 1)
    gone = [(one["change"], one["rule"], one["state"]) for one in found["changes"]]
    assert gone == [("gone", "drift", "resolved"), ("gone", "drift", "retracted")]
    assert found["alerts_per_week"]["difference"] == -14
    assert found["policy_hash"]["now"] != found["policy_hash"]["new"]
    assert {path.name: DeltaTable(str(path)).version() for path in recorded.root.iterdir()} == before


def test_incidents_that_history_never_retrained_for_end_when_they_are_quiet(tried: Callable[..., Any]) -> None:
    _, found = tried({"name: drift": "name: shape"})
    new = [one for one in found["incidents"]["new"] if one["rule"] == "shape"]
    assert [one["state"] for one in new] == ["resolved", "retracted"]
    assert {one["change"] for one in found["changes"]} == {"new", "gone"}


def test_planted_faults_are_told_by_a_policy_that_listens_and_not_by_one_that_does_not(
    tried: Callable[..., Any],
) -> None:
    deaf = {"minimum_effect: 0.2, severity: 2": "minimum_effect: 9, severity: 2"}
    arguments = ("--onsets", "1", "--shift", "1", "--share", "0.4", "--from", "2026-11-25T03:02:45")
    _, found = tried(deaf, *arguments)
    delays = {one["column"]: one for one in found["delays"]}
    assert delays.keys() == {"amount", "length", "output", "error_rate"}
    for column, one in delays.items():
        assert (one["onsets"], one["now"]["told"]) == (1, 1)
        assert 1 <= one["now"]["blocks"] <= 4
        assert one["new"]["told"] == (column == "error_rate")


def test_what_a_policy_tells_of_history_itself_is_no_planted_fault_that_it_told(
    recorded: Run, tmp_path: Path, tried: Callable[..., Any]
) -> None:
    # By the present policy nothing happens, and the new one tells the drift that really was.
    deaf = tmp_path / "deaf.yml"
    deaf.write_text(POLICY.replace("minimum_effect: 0.2, severity: 2", "minimum_effect: 9, severity: 2"))
    opened = min(row["decided_time"] for row in recorded.tables.read("alerts") if row["rule"] == "drift")
    since, until = ((opened + timedelta(seconds=seconds)).isoformat() for seconds in (-9, 7))
    arguments = ("--set", f"watch.policy={deaf}", "--from", since, "--to", until, "--onsets", "3")
    _, found = tried({}, *arguments, "--shift", "0", "--share", "0")
    counts = {one["rule"]: (one["now"], one["new"]) for one in found["by_rule"]}
    assert counts["drift"] == (0, 1)
    assert {one["column"]: (one["onsets"], one["new"]["told"]) for one in found["delays"]} == dict.fromkeys(
        ("amount", "length", "output", "error_rate"), (3, 0)
    )


@pytest.mark.soak
def test_nothing_is_told_where_nothing_is_planted(tried: Callable[..., Any]) -> None:
    arguments = ("--onsets", "2", "--shift", "0", "--share", "0", "--from", "2026-11-25T03:02:45")
    _, found = tried({"severity: 2": "severity: 3"}, *arguments)
    assert all(one["now"]["told"] == one["new"]["told"] == 0 for one in found["delays"])


def test_people_read_a_table_too_many_alerts_end_with_one_and_times_without_history_are_refused(
    recorded: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*recorded.overrides, "--policy", recorded.settings.watch.policy]
    assert backtest.main([*arguments, "--onsets", "0", "--fail-above", "34.9"]) == 1
    said = capsys.readouterr().out
    assert "35.00 alerts a week now, 35.00 with the new policy" in said
    assert "conservation" in said
    later = datetime(2027, 1, 1, tzinfo=UTC).isoformat()
    with pytest.raises(SettingsError, match="no micro-batch"):
        backtest.main([*arguments, "--from", later])
