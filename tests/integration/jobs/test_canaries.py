"""Canaries of every class in every field of good and refused events, through ``pegel stream``: nothing of them is left.

They are looked for in every file, the tables, the logs, the pages of Spark while the stream ran, what the dashboard
shows, and what MLflow is told. The masking key is a canary too: it must not reach a plan, or any of these.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from equipment import shown_stream
from fastapi.testclient import TestClient

from pegel.conf.settings import Settings
from pegel.dashboard.app import create_app
from pegel.lifecycle.metric_keys import encode_name
from pegel.lifecycle.monitoring_run import MonitoringRuns
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
            "spark.ui.enabled=true",
            "spark.ui.port=0",
        ),
        *("ingest.segment_attributes=[user]", "watch.allowed_lateness_seconds=0"),
        *overrides,
    )
    return ["--available-now", *(part for setting in settings for part in ("--set", setting))]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the processes of this module work; each stream has a folder in it."""
    return tmp_path_factory.mktemp("canaries")


@pytest.fixture(scope="module")
def left(root: Path) -> bytes:
    """Everything that two streams left and said: one without content, one with masked content."""
    hashed = "masking.fields={segments.user: keyed_hash}"
    return _left(root, {"none": ("masking.content=none", hashed), "masked": ()})


def _left(root: Path, streams: Mapping[str, Sequence[str]]) -> bytes:
    """Run streams with these settings, in folders of these names; all that they left on the disk, showed and said."""
    calls = [(_arguments(root / name, *overrides), str(root / name / "pages")) for name, overrides in streams.items()]
    done = subprocess.run(
        [sys.executable, shown_stream.__file__, json.dumps(calls)],
        cwd=root,
        env={**os.environ, "PEGEL_MASKING_KEY": KEY},
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    shown = [piece for name in streams for piece in (_rows(root / name), _dashboard(root / name), _mlflow(root / name))]
    files = [path for name in streams for path in (root / name).rglob("*") if path.is_file()]
    read = [path for path in files if "in" not in path.relative_to(root).parts]
    for name in streams:
        assert any(root / name / "eventlog" in path.parents for path in read)
        assert len([path for path in read if path.parent == root / name / "pages"]) > len(shown_stream.INTERFACE) + 10
    return b"\n".join([*(path.read_bytes() for path in read), *shown, (done.stdout + done.stderr).encode()])


def _found(left: bytes) -> list[str]:
    """The canaries that are in it, as they came, as a name of MLflow's or as a part of an address."""
    forms = {canary: {canary, encode_name(canary), quote(canary)} for canary in (*CANARIES, KEY)}
    return [canary for canary, of_one in forms.items() if any(form.encode() in left for form in of_one)]


def _rows(folder: Path) -> bytes:
    """All that the tables of a stream hold."""
    tables = DeltaTables(str(folder / "tables"))
    rows = [tables.read(name) for name in ("predictions", "feedback", "dead_letters", "profiles", "metrics", "batches")]
    assert all(rows[:5])
    return repr(rows).encode()


def _dashboard(folder: Path) -> bytes:
    """All that the dashboard answers, for every version that it has heard of."""
    settings = Settings.model_validate({"storage": {"root": str(folder / "tables")}})
    tables = DeltaTables(settings.storage.root)
    app = create_app(tables, settings)
    models = [row["model"] for row in tables.read("predictions", "SELECT DISTINCT model FROM t")]
    paths = sorted({route.path for route in app.routes if "GET" in (getattr(route, "methods", None) or ())})
    pages = [path for path in paths if "{" not in path and not path.startswith("/static")]
    with TestClient(app, base_url="http://127.0.0.1") as client:
        answers = [client.get(path, params={"model": model}) for path in pages for model in models]
    assert any("[email]" in answer.text for answer in answers), "the pages show what the tables hold"
    return b"\n".join(answer.content for answer in answers)


def _mlflow(folder: Path) -> bytes:
    """What MLflow keeps of the numbers of the stream, beside the files of its store."""
    sections = {
        "storage": {"root": str(folder / "tables")},
        "mlflow": {"tracking_uri": f"sqlite:///{folder}/mlflow.db", "experiment": "canaries"},
        "model": {"name": "m"},
    }
    runs = MonitoringRuns(DeltaTables(str(folder / "tables")), Settings.model_validate(sections))
    assert runs.advance() > 0
    stored = (folder / "mlflow.db").read_bytes()
    assert encode_name("[email]").encode() in stored, "a version that was an address names metrics"
    return stored


def test_no_canary_of_any_class_in_any_field_is_left_or_shown_anywhere(root: Path, left: bytes) -> None:
    assert b"getenv" in left, "the event log shows the plan, so that its silence about the key says something"
    assert _found(left) == []
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


@pytest.mark.soak
def test_no_canary_is_left_or_shown_where_some_masked_texts_are_hashed_or_dropped(tmp_path: Path) -> None:
    fields = "{input: keyed_hash, segments.user: keyed_hash, extra.note: drop, prompt_version: drop, output: mask}"
    left = _left(tmp_path, {"some": (f"masking.fields={fields}",)})
    assert _found(left) == []
    rows = DeltaTables(str(tmp_path / "some" / "tables")).read("predictions")
    assert {len(row["input"]) for row in rows} == {64}
    assert {row["prompt_version"] for row in rows} == {None}
    assert any("[email]" in row["output"] for row in rows if row["output"])
