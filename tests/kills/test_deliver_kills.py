"""The delivery job is killed at each of its steps: every alert leaves, and each ends as it does without a kill."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from equipment import dying_process

from pegel.tables.delta import DeltaTables

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALERTS = 5
APPEND, SEND = "pegel.tables.delta.DeltaTables.append", "pegel.alerts.delivery.jsonl.JsonLinesSink.send"
POINTS = {
    "before the claim": (APPEND, "before", 1),
    "claimed and not sent": (SEND, "before", 1),
    "sent and not on record": (SEND, "after", 1),
    "before the second record": (APPEND, "before", 2),
    "on record": (APPEND, "after", 2),
}


class Delivery:
    """Tables with alerts, the file that they go to, and the job."""

    def __init__(self, folder: Path) -> None:
        self.tables, self._file = DeltaTables(f"{folder}/tables"), folder / "alerts.jsonl"
        values = {"storage.root": f"{folder}/tables", "delivery.sinks": "[jsonl]", "delivery.jsonl_path": self._file}
        values["mlflow.tracking_uri"] = f"sqlite:///{folder}/mlflow.db"
        self._sets = [part for name, value in values.items() for part in ("--set", f"{name}={value}")]
        rows = [
            {
                "alert_id": f"a{n}-{s}", "incident_id": f"i{n}", "sequence": s, "state": state, "batch_id": n + s,
                "rule": "drift", "model": "assistant", "version": "1", "segment": "*", "column": "output",
                "columns": ["output"], "severity": 2, "action": "page", "calibrated": True, "first_batch_id": n,
                "last_batch_id": n, "windows": [], "decided_time": NOON, "title": "t", "message": "m", "runbook": "r",
                "policy_hash": "p", "code_version": "1",
            }
            for n in range(ALERTS) for s, state in ((1, "opened"), (2, "confirmed"))
        ]  # fmt: skip
        self.tables.append("alerts", rows)

    def run(self, *point: object) -> int:
        """Run the job, and let it die at a point if one is given."""
        dies = [str(part) for part in point] or [APPEND, "before", "1000000"]
        command = [sys.executable, dying_process.__file__, *dies, "pegel.jobs.deliver", "--available-now", *self._sets]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        return subprocess.run(command, env=environment, capture_output=True, timeout=240, check=False).returncode

    @property
    def received(self) -> list[str]:
        """The alerts in the order in which they came first."""
        lines = self._file.read_text(encoding="utf-8").splitlines()
        return list(dict.fromkeys(json.loads(line)["alert_id"] for line in lines))

    @property
    def last_states(self) -> dict[str, str]:
        """Alert -> the state that it is in at last."""
        rows = self.tables.read("deliveries", "SELECT * FROM t ORDER BY at, attempt")
        return {row["alert_id"]: row["state"] for row in rows}


@pytest.mark.kills
@pytest.mark.soak
@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS)
def test_delivery_that_is_killed_at_any_step_ends_as_without_a_kill(
    tmp_path: Path, point: tuple[str, str, int]
) -> None:
    whole, killed = Delivery(tmp_path / "whole"), Delivery(tmp_path / "killed")
    assert whole.run() == 0
    assert killed.run(*point) == -signal.SIGKILL
    assert killed.run() == 0
    assert killed.last_states == whole.last_states == dict.fromkeys(whole.received, "sent")
    assert killed.received == whole.received
    assert len(whole.received) == 2 * ALERTS
