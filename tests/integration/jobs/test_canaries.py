"""Canaries of every class in every field of good and refused events, through ``pegel stream``: nothing of them is left.

The masking key is a canary too: it must not reach a plan, Spark's event log, the job's own log or a table.
"""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pegel.schemas.events import FEEDBACK_FIELDS, PREDICTION_FIELDS
from pegel.tables.delta import DeltaTables

pytestmark = pytest.mark.spark

CANARIES = (
    *("canary.bird@example.org", "+49 30 7654321", "DE89 3704 0044 0532 0130 00", "4111 1111 1111 1111"),
    *("203.0.113.77", "sk-proj-Canary0123456789Canary0123456789", "c4n4ry"),
)
PLANTED = (*CANARIES[:-1], f"password={CANARIES[-1]}")
KEY = "k3y-canary-0123456789abcdef0123456789abcdef"
NOW = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()


def _events(fields: Any, base: dict[str, Any]) -> list[bytes]:
    """Each canary in each text and map field, in an unknown one, and once more in an event that is refused."""
    made = []
    for i, canary in enumerate(PLANTED):
        for field in fields:
            if field.type == "string" and not field.allowed:
                value: Any = canary
            elif field.type == "map<string,string>":
                value = {"user": canary}
            else:
                continue
            event = base | {
                name: f"{base[name]}-{field.json}-{i}" for name in ("event_id", "feedback_id") if name in base
            }
            made.append(json.dumps(event | {field.json: value, "mine": {"deep": [canary]}}).encode())
        made.append(json.dumps(base | {"note": canary, "event_time": None, "feedback_time": None}).encode())
        made.append(f"no JSON: {canary}".encode())
    return made


def _run(folder: Path, *overrides: str) -> str:
    """The job until the files are taken; gives its log."""
    prediction = {"event_id": "e", "event_time": NOW, "model_name": "m", "model_version": "1", "input": "a b"}
    feedback = {"feedback_id": "f", "event_id": "e", "prediction_time": NOW, "feedback_time": NOW, "label": "x"}
    for name, events in (
        ("predictions", _events(PREDICTION_FIELDS, prediction)),
        ("feedback", _events(FEEDBACK_FIELDS, feedback)),
    ):
        (folder / "in" / name).mkdir(parents=True)
        (folder / "in" / name / "a.jsonl").write_bytes(b"\n".join(events) + b"\n")
    (folder / "eventlog").mkdir()
    settings = (
        *(f"storage.root={folder}/tables", "source.kind=files", f"source.files.path={folder}/in"),
        *(
            "spark.eventLog.enabled=true",
            "spark.eventLog.compress=false",
            f"spark.eventLog.dir=file://{folder}/eventlog",
        ),
        *overrides,
    )
    arguments = [part for setting in settings for part in ("--set", setting)]
    done = subprocess.run(
        [sys.executable, "-m", "pegel.jobs.stream", "--available-now", *arguments],
        cwd=folder,
        env={**os.environ, "PEGEL_MASKING_KEY": KEY},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


def _everything(folder: Path, log: str) -> bytes:
    """What is on the disk and in the log: all files but the input, and the rows of all tables."""
    files = [path for path in folder.rglob("*") if path.is_file() and folder / "in" not in path.parents]
    assert any("eventlog" in str(path) for path in files)
    tables = DeltaTables(str(folder / "tables"))
    rows = [tables.read(name) for name in ("predictions", "feedback", "dead_letters", "profiles", "metrics", "batches")]
    assert all(rows[:4])
    return b"\n".join([path.read_bytes() for path in files] + [repr(rows).encode(), log.encode()])


@pytest.mark.parametrize("content", ["none"])
def test_no_canary_of_any_class_in_any_field_is_found_on_disk(tmp_path: Path, content: str) -> None:
    log = _run(tmp_path, f"masking.content={content}", "masking.fields={segments.user: keyed_hash}")
    found = _everything(tmp_path, log)
    assert b"getenv" in found, "the event log shows the plan, so that its silence about the key says something"
    assert [canary for canary in (*CANARIES, KEY) if canary.encode() in found] == []
    rows = DeltaTables(str(tmp_path / "tables")).read("predictions")
    assert {row["event_id"] for row in rows}
    if content == "none":
        assert all(len(row["input"]) == 64 and row["input_characters"] and row["input_words"] for row in rows)


def test_no_canary_is_left_in_masked_bodies_of_refused_events(tmp_path: Path) -> None:
    found = _everything(tmp_path, _run(tmp_path))
    assert [canary for canary in CANARIES if canary.encode() in found] == []
    bodies = [row["body"] for row in DeltaTables(str(tmp_path / "tables")).read("dead_letters")]
    assert len(bodies) >= 2 * len(CANARIES)
    for label in ("[email]", "[phone]", "[iban]", "[card]", "[ip]", "[secret]"):
        assert any(label in body for body in bodies), label
