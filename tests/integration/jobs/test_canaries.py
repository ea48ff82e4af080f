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
                value = {"user": canary, canary: "key"}
            elif field.type.startswith("map<string"):
                value = {canary: 1.0}
            else:
                continue
            event = base | {
                name: f"{base[name]}-{field.json}-{i}" for name in ("event_id", "feedback_id") if name in base
            }
            made.append(
                json.dumps(event | {field.json: value, "mine": {"deep": [canary], canary: 1}, canary: 2}).encode()
            )
        made.append(json.dumps(base | {"note": canary, "event_time": None, "feedback_time": None}).encode())
        made.append(f"no JSON: {canary}".encode())
    return made


TWO_STREAMS = "import json, sys; from pegel.jobs import stream; [stream.main(one) for one in json.loads(sys.argv[1])]"
"""The job twice in one process: a second JVM would load all of Spark again."""


def _arguments(folder: Path, *overrides: str) -> list[str]:
    """Those of a job that takes the files and ends."""
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
            "spark.driver.extraJavaOptions=-XX:TieredStopAtLevel=1",
        ),
        *overrides,
    )
    return ["--available-now", *(part for setting in settings for part in ("--set", setting))]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the processes of this module work; each stream has a folder in it, named after its ``masking.content``."""
    return tmp_path_factory.mktemp("canaries")


@pytest.fixture(scope="module")
def left(root: Path) -> bytes:
    """Everything that two streams left on the disk and said: one without content, one with masked content."""
    hashed = "masking.fields={segments.user: keyed_hash}"
    both = [_arguments(root / "none", "masking.content=none", hashed), _arguments(root / "masked")]
    done = subprocess.run(
        [sys.executable, "-c", TWO_STREAMS, json.dumps(both)],
        cwd=root,
        env={**os.environ, "PEGEL_MASKING_KEY": KEY},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    files = [path for path in root.rglob("*") if path.is_file() and "in" not in path.relative_to(root).parts]
    for name in ("none", "masked"):
        assert any(root / name / "eventlog" in path.parents for path in files)
    pieces = [path.read_bytes() for path in files] + [_rows(root / name) for name in ("none", "masked")]
    return b"\n".join([*pieces, (done.stdout + done.stderr).encode()])


def _rows(folder: Path) -> bytes:
    """All that the tables of a stream hold."""
    tables = DeltaTables(str(folder / "tables"))
    rows = [tables.read(name) for name in ("predictions", "feedback", "dead_letters", "profiles", "metrics", "batches")]
    assert all(rows[:4])
    return repr(rows).encode()


def test_no_canary_of_any_class_in_any_field_is_found_on_disk(root: Path, left: bytes) -> None:
    assert b"getenv" in left, "the event log shows the plan, so that its silence about the key says something"
    assert [canary for canary in (*CANARIES, KEY) if canary.encode() in left] == []
    rows = DeltaTables(str(root / "none" / "tables")).read("predictions")
    assert {row["event_id"] for row in rows}
    assert all(len(row["input"]) == 64 and row["input_characters"] and row["input_words"] for row in rows)


@pytest.mark.usefixtures("left")
def test_no_canary_is_left_in_masked_bodies_of_refused_events(root: Path) -> None:
    bodies = [row["body"] for row in DeltaTables(str(root / "masked" / "tables")).read("dead_letters")]
    assert [canary for canary in CANARIES if any(canary in body for body in bodies)] == []
    assert len(bodies) >= 2 * len(CANARIES)
    for label in ("[email]", "[phone]", "[iban]", "[card]", "[ip]", "[secret]"):
        assert any(label in body for body in bodies), label
