"""``pegel replay`` decides alerts of a recorded run again, from the rows of predictions that they rest on."""

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from equipment.recorded_run import MODEL, PERSON, POLICY, Run

from pegel.errors import ReplayError, SettingsError
from pegel.jobs import erase, replay
from pegel.jobs.wiring import erasing
from pegel.jobs.wiring.alert_lookup import find_incident
from pegel.tables import lease
from pegel.tables.merging import MergingTables, merged_up_to

Row = dict[str, Any]
NUMBERS = ("value", "threshold", "effect", "p_value", "n")


@pytest.fixture
def replayed(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[Row]]]:
    """What the job returns and prints about all alerts of an incident."""

    def _replay(run: Run, wanted: str, *arguments: str) -> tuple[int, list[Row]]:
        capsys.readouterr()
        code = replay.main([*run.overrides, wanted, "--output", "json", *arguments])
        return code, json.loads(capsys.readouterr().out)

    return _replay


def incidents(run: Run) -> list[str]:
    return sorted({row["incident_id"] for row in run.tables.read("alerts")})


def confirmed(run: Run) -> Row:
    """The alert that confirmed the drift."""
    (found,) = [r for r in run.tables.read("alerts") if r["rule"] == "drift" and r["state"] == "confirmed"]
    return found


def change(run: Run, name: str, change_rows: Callable[[list[Row]], list[Row]]) -> None:
    rows = run.tables.read(name)
    DeltaTable(run.tables.uri(name)).delete()
    run.tables.append(name, change_rows(rows))


def vacuum(run: Run) -> None:
    for name in ("predictions", "profiles", "batches", "blocks", "alerts"):
        table = DeltaTable(run.tables.uri(name))
        assert table.optimize.compact()["numFilesRemoved"] > 1
        assert table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)


def test_each_alert_is_decided_again_to_the_same_row_from_rows_alone(
    recorded: Run, replayed: Callable[..., tuple[int, list[Row]]]
) -> None:
    alerts = recorded.tables.read("alerts")
    told: dict[str, Row] = {}
    for incident in incidents(recorded):
        code, found = replayed(recorded, incident)
        assert code == 0
        told |= {one["alert_id"]: one for one in found}
    assert told.keys() == {row["alert_id"] for row in alerts}
    assert {(row["rule"], row["state"]) for row in alerts} >= {
        *(("drift", state) for state in ("opened", "confirmed", "retracted", "resolved")),
        *((rule, state) for rule in ("errors", "accuracy") for state in ("opened", "confirmed", "resolved")),
        ("conservation", "resolved"),
    }
    for row in alerts:
        one = told[row["alert_id"]]
        values = {value["name"]: value for value in one["values"]}
        assert (one["outcome"], one["notes"], one["from_partials"]) == ("same", [], [])
        assert all(value["same"] for value in values.values())
        assert {name: values[name]["replayed"] for name in NUMBERS} == {
            name: row[name] if name == "n" or row[name] is None else pytest.approx(row[name], rel=1e-12, abs=0)
            for name in NUMBERS
        }
        laws = {law["name"]: law for law in one["laws"]}
        assert not any(law["broken"] for law in laws.values())
        assert laws["rows"]["checked"] > 0
        assert laws["labels"]["checked"] > 0 or row["model"] != MODEL
        assert one["rows"] > 50
        assert laws["blocks"]["checked"] > 0 or row["model"] != MODEL


def test_replay_is_the_same_after_files_were_put_together_and_old_ones_removed(
    copied: Callable[[], Run], replayed: Callable[..., tuple[int, list[Row]]]
) -> None:
    run = copied()
    vacuum(run)
    code, (opened, decided, ended) = replayed(run, confirmed(run)["incident_id"])
    assert code == 0
    assert {one["outcome"] for one in (opened, decided, ended)} == {"same"}


def test_replay_from_rows_is_the_same_after_partials_became_minutes_and_says_so(
    copied: Callable[[], Run], replayed: Callable[..., tuple[int, list[Row]]]
) -> None:
    run = copied()
    alert = confirmed(run)
    MergingTables(str(run.root)).merge(alert["batch_id"] + 1)
    code, (found,) = replayed(run, alert["alert_id"])
    assert (code, found["outcome"]) == (0, "same")
    assert "sums of minutes" in found["notes"][0]
    laws = {law["name"]: law["checked"] for law in found["laws"]}
    assert laws["profiles"] == 0
    assert laws["blocks"] > 0


def _another_amount(rows: list[Row]) -> list[Row]:
    (some,) = [row for row in rows if row["event_id"] == "e21-3"]
    some["features"] = {"amount": "180"}
    return rows


def _without_one(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["event_id"] != "e21-3"]


def _without_a_label(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["event_id"] != "e20-1"]


def _another_error(rows: list[Row]) -> list[Row]:
    some = next(row for row in rows if row["batch_id"] == 10**9 + 21 and row["segment"] == "*")
    some["counts"] |= {"errors": some["counts"].get("errors", 0) + 1}
    return rows


def _another_bin(rows: list[Row]) -> list[Row]:
    # Of version 1, the only one with a baseline.
    some = next(
        row
        for row in rows
        if row["segment"] == "*" and row["last_batch_id"] == 10**9 + 20 and json.loads(row["state"])["bins"]
    )
    state = json.loads(some["state"])
    state["bins"]["amount"][0] += 1
    some["state"] = json.dumps(state)
    return rows


def _another_value(rows: list[Row]) -> list[Row]:
    (some,) = [row for row in rows if row["rule"] == "drift" and row["state"] == "confirmed"]
    some["value"] *= 1 + 1e-11
    return rows


def _another_count(rows: list[Row]) -> list[Row]:
    (some,) = [row for row in rows if row["batch_id"] == 10**9 + 21]
    some["stored"] += 1
    return rows


@pytest.mark.parametrize(
    ("table", "changed", "named"),
    [
        ("predictions", _another_amount, "cells amount"),
        ("predictions", _without_one, "'rows'"),
        ("feedback", _without_a_label, "labelled, correct"),
        ("profiles", _another_error, "counts errors"),
        ("blocks", _another_bin, "bins amount"),
        ("batches", _another_count, "'rows'"),
        ("alerts", _another_value, ""),
    ],
)
def test_something_changed_or_lost_is_told(
    copied: Callable[[], Run],
    replayed: Callable[..., tuple[int, list[Row]]],
    table: str,
    changed: Callable[[list[Row]], list[Row]],
    named: str,
) -> None:
    run = copied()
    change(run, table, changed)
    code, (found,) = replayed(run, confirmed(run)["alert_id"])
    assert (code, found["outcome"]) == (1, "different")
    differences = [one for law in found["laws"] for one in law["differences"]]
    if named:
        assert any(named in one for one in differences), differences
    else:
        assert not differences
        assert [value["name"] for value in found["values"] if not value["same"]] == ["value"]


def test_an_erasure_that_changed_the_alert_is_told_and_partials_still_give_it(
    copied: Callable[[], Run],
    replayed: Callable[..., tuple[int, list[Row]]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(lease, "SETTLE_SECONDS", 0.05)
    monkeypatch.setattr(erasing, "LOOK_SECONDS", 0.05)
    run = copied()
    assert erase.main([*run.overrides, "--subject", f"trace_id={PERSON}"]) == 0
    alert = confirmed(run)
    code, (found,) = replayed(run, alert["alert_id"])
    assert (code, found["outcome"]) == (5, "erased")
    assert "erased since" in found["notes"][0]
    rows, partials = ({v["name"]: v for v in found[which]} for which in ("values", "from_partials"))
    assert rows["n"]["replayed"] < alert["n"]
    assert all(value["same"] for value in partials.values())
    assert replay.main([*run.overrides, alert["alert_id"]]) == 5
    assert "rows were erased since; from stored partials it is the same" in capsys.readouterr().out

    # What is missing beside what was erased is no erasure.
    change(run, "predictions", _without_one)
    assert replayed(run, alert["alert_id"])[0] == 1


def _forget_rows(run: Run, days: int) -> Row:
    alert = confirmed(run)
    newest = max(run.tables.read("batches"), key=lambda row: row["batch_id"])
    later = newest["committed_at"] + timedelta(days=days)
    run.tables.append("batches", [newest | {"batch_id": newest["batch_id"] + 1, "committed_at": later, "stored": 0}])
    change(run, "predictions", lambda rows: [row for row in rows if row["batch_id"] > alert["batch_id"]])
    return alert


def test_rows_that_are_no_longer_promised_leave_the_partials_and_this_is_said(
    copied: Callable[[], Run], replayed: Callable[..., tuple[int, list[Row]]]
) -> None:
    run = copied()
    alert = _forget_rows(run, days=91)
    code, (found,) = replayed(run, alert["alert_id"])
    assert (code, found["outcome"], found["rows"]) == (5, "partials", 0)
    assert "older than 90 days" in found["notes"][0]
    assert all(value["same"] for value in found["from_partials"])
    # Within the retention the same is a loss.
    assert replayed(run, alert["alert_id"], "--set", "retention.replay_days=92")[0] == 1
    # Without partials of single micro-batches nothing can be decided.
    MergingTables(str(run.root)).merge(alert["batch_id"])
    assert merged_up_to(run.tables) == alert["batch_id"]
    with pytest.raises(ReplayError, match="cannot be decided again"):
        replayed(run, alert["alert_id"])


@pytest.mark.parametrize("rules", [["--policy"], ["--set", "watch.block_max_seconds=9"]])
def test_other_rules_are_named_and_the_policy_of_that_time_may_be_given(
    recorded: Run, replayed: Callable[..., tuple[int, list[Row]]], tmp_path: Path, rules: Sequence[str]
) -> None:
    other = tmp_path / "other.yml"
    other.write_text(POLICY.replace("alerts_per_month: 5000", "alerts_per_month: 1"))
    alert = confirmed(recorded)
    if rules[0] == "--policy":
        code, (found,) = replayed(recorded, alert["alert_id"], "--policy", str(other))
        assert (code, found["outcome"]) == (5, "other_rules")
        assert [v["name"] for v in found["values"] if not v["same"]] == ["threshold"]
        assert "the policy was" in found["notes"][0]
        # The policy file moved on, and the old one is given.
        settings = ["--set", f"watch.policy={other}"]
        code, (found,) = replayed(recorded, alert["alert_id"], *settings, "--policy", recorded.settings.watch.policy)
        assert (code, found["notes"]) == (0, [])
    else:
        _, (found,) = replayed(recorded, alert["alert_id"], *rules)
        assert "the watch settings was" in found["notes"][0]


def test_six_characters_name_an_alert_or_an_incident_and_others_are_refused(recorded: Run) -> None:
    alert = confirmed(recorded)
    for wanted in (alert["alert_id"][:6], alert["incident_id"][:6], alert["incident_id"]):
        states = [row["state"] for row in find_incident(recorded.tables, wanted)]
        assert states == ["opened", "confirmed", "resolved"]
    for wanted in (alert["alert_id"][:5], "nobody-knows", ""):
        with pytest.raises(SettingsError, match="no incident and no alert"):
            replay.main([*recorded.overrides, wanted])
