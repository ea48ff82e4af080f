"""The demo as a newcomer starts it: a process, its exit code, its last line, and the tables that it leaves."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pegel.alerts.webhook.call import RECONCILED
from pegel.tables.delta import DeltaTables

FIELDS = [
    *("events_sent", "events_stored", "dead_letters", "duplicates", "incident_id", "alert_id", "onset_to_alert_s"),
    *("event_to_alert_p95_s", "retrain_runs", "champion_before", "champion_after", "recovered_s", "state"),
]
LIMIT_SECONDS = 400


def run_demo(folder: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "pegel.jobs.demo",
        "--exit",
        "--folder",
        str(folder),
        "--dashboard-port",
        str(port),
    ]
    demo = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = demo.communicate(timeout=LIMIT_SECONDS + 120)
    except subprocess.TimeoutExpired:
        # Killed at once it would leave its services behind.
        demo.terminate()
        demo.communicate(timeout=60)
        raise
    lines = out.strip().splitlines()
    assert lines, err
    assert lines[-1].startswith("{"), out + err
    return demo.returncode, json.loads(lines[-1]), out + err


@pytest.mark.demo
@pytest.mark.timeout(LIMIT_SECONDS + 150)
def test_demo_on_real_queries_closes_its_loop_and_its_last_line_is_what_the_tables_say(
    tmp_path: Path, shared_data: Path
) -> None:
    data = shared_data / "clinc150_full.json"
    code, told, output = run_demo(tmp_path / "run", "--data", str(data), "--quiet", "20", "--limit", str(LIMIT_SECONDS))
    assert (code, told["state"]) == (0, "CLOSED"), output
    assert list(told) == FIELDS
    assert told["events_sent"] == told["events_stored"] + told["dead_letters"] + told["duplicates"]
    assert told["dead_letters"] > 0
    assert told["duplicates"] > 0
    assert told["retrain_runs"] == 1
    assert (told["champion_before"], told["champion_after"]) == ("1", "2")
    assert 0 < told["onset_to_alert_s"] < told["recovered_s"]

    tables = DeltaTables(str(tmp_path / "run" / "tables"))
    predictions = tables.read("predictions", "SELECT count(*) AS n, count(DISTINCT event_id) AS ids FROM t")[0]
    assert (predictions["n"], predictions["ids"]) == (told["events_stored"], told["events_stored"])
    alerts = sorted(
        (row for row in tables.read("alerts") if row["incident_id"] == told["incident_id"]),
        key=lambda row: row["sequence"],
    )
    assert [row["state"] for row in alerts] == ["opened", "confirmed", "resolved"]
    assert alerts[0]["alert_id"] == told["alert_id"]
    sent = {row["alert_id"] for row in tables.read("deliveries") if row["state"] == "sent"}
    assert {row["alert_id"] for row in alerts} <= sent
    served = tables.read("predictions", "SELECT DISTINCT version FROM t")
    assert {row["version"] for row in served} >= {"1", "2"}
    states = {row["state"] for row in tables.read("retrainings")}
    assert {"started", "trained", "promoted", "proving", "proven"} == states


@pytest.mark.soak
@pytest.mark.timeout(LIMIT_SECONDS + 350)
def test_demo_of_a_prompt_closes_its_loop_with_the_next_prompt_version(tmp_path: Path) -> None:
    code, told, output = run_demo(tmp_path / "run", "--model", "openai", "--limit", str(LIMIT_SECONDS))
    assert (code, told["state"]) == (0, "CLOSED"), output
    assert told["events_sent"] == told["events_stored"] + told["dead_letters"] + told["duplicates"]
    assert (told["champion_before"], told["champion_after"]) == ("1", "2")
    tables = DeltaTables(str(tmp_path / "run" / "tables"))
    asked = tables.read(
        "predictions",
        "SELECT version, prompt_version, request_model, min(input_tokens) AS tokens, count(error_type) AS failed "
        "FROM t WHERE request_model IS NOT NULL GROUP BY version, prompt_version, request_model ORDER BY version",
    )
    assert [(row["version"], row["prompt_version"]) for row in asked] == [
        ("1", "assistant_prompt/1"),
        ("2", "assistant_prompt/2"),
    ]
    assert all(row["tokens"] > 0 and row["failed"] == 0 for row in asked)
    (proven,) = [row for row in tables.read("retrainings") if row["state"] == "proven"]
    assert (proven["champion"], proven["challenger"]) == ("1", "2")


@pytest.mark.soak
@pytest.mark.timeout(LIMIT_SECONDS + 150)
def test_demo_whose_job_service_refuses_every_call_says_that_its_loop_did_not_close(tmp_path: Path) -> None:
    code, told, output = run_demo(tmp_path / "run", "--fault", "jobs-refused", "--limit", "200")
    assert code != 0, output
    assert told["state"] in ("OPEN", "TIMED_OUT")
    assert told["retrain_runs"] == 0
    assert told["champion_after"] == told["champion_before"]
    assert told["events_sent"] == told["events_stored"] + told["dead_letters"] + told["duplicates"]


@pytest.mark.soak
@pytest.mark.timeout(LIMIT_SECONDS + 350)
def test_demo_whose_challenger_serves_badly_is_rolled_back_to_the_old_champion(tmp_path: Path) -> None:
    code, told, output = run_demo(tmp_path / "run", "--fault", "bad-challenger", "--limit", str(LIMIT_SECONDS))
    assert code != 0, output
    assert told["state"] == "ROLLED_BACK", output
    assert told["retrain_runs"] == 1
    assert (told["champion_before"], told["champion_after"]) == ("1", "1")
    tables = DeltaTables(str(tmp_path / "run" / "tables"))
    moves = sorted(tables.read("promotions"), key=lambda row: row["at"])
    assert [row["new_version"] for row in moves] == ["1", "2", "1"]
    # Whether the drift matters no longer is for a person to say.
    assert "resolved" not in {row["state"] for row in tables.read("alerts")}


@pytest.mark.soak
@pytest.mark.timeout(LIMIT_SECONDS + 350)
def test_demo_whose_webhook_was_down_closes_its_loop_by_the_reconciler(tmp_path: Path) -> None:
    code, told, output = run_demo(tmp_path / "run", "--fault", "webhook-down", "--limit", str(LIMIT_SECONDS))
    assert (code, told["state"]) == (0, "CLOSED"), output
    assert told["retrain_runs"] == 1
    tables = DeltaTables(str(tmp_path / "run" / "tables"))
    (started,) = {row["call_id"] for row in tables.read("webhook_calls") if row["run_id"]}
    (rule,) = {row["alert_rule"] for row in tables.read("webhook_calls") if row["call_id"] == started}
    assert rule == RECONCILED


@pytest.mark.soak
@pytest.mark.timeout(LIMIT_SECONDS + 350)
@pytest.mark.parametrize(
    ("fault", "cause", "action"),
    [("data-fault", "pipeline_fault", "page"), ("harmless-shift", "harmless_shift", "none")],
)
def test_demo_without_anything_to_retrain_for_says_why_and_retrains_nothing(
    tmp_path: Path, fault: str, cause: str, action: str
) -> None:
    code, told, output = run_demo(tmp_path / "run", "--fault", fault, "--limit", str(LIMIT_SECONDS))
    assert (code, told["state"]) == (0, "RESOLVED"), output
    assert (told["retrain_runs"], told["champion_after"]) == (0, told["champion_before"])
    assert told["events_sent"] == told["events_stored"] + told["dead_letters"] + told["duplicates"]
    tables = DeltaTables(str(tmp_path / "run" / "tables"))
    (confirmed,) = [
        row for row in tables.read("alerts") if (row["incident_id"], row["state"]) == (told["incident_id"], "confirmed")
    ]
    assert (confirmed["cause"], confirmed["action"]) == (cause, action)
    # Whoever owns the data is called, and nobody else beside who is on call.
    assert ("data owner paged" in output) == (cause == "pipeline_fault")
    assert tables.read("retrainings") == []
    assert [row for row in tables.read("webhook_calls") if row["run_id"]] == []


@pytest.mark.soak
@pytest.mark.timeout(LIMIT_SECONDS + 350)
def test_demo_whose_drift_comes_and_goes_retrains_once(tmp_path: Path) -> None:
    code, told, output = run_demo(tmp_path / "run", "--fault", "flapping", "--limit", str(LIMIT_SECONDS))
    assert (code, told["state"]) == (0, "CLOSED"), output
    assert told["retrain_runs"] == 1
    assert told["events_sent"] == told["events_stored"] + told["dead_letters"] + told["duplicates"]
