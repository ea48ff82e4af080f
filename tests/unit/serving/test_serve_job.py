import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from pegel.errors import OutsideError, SettingsError
from pegel.jobs import serve as job
from pegel.jobs.serve import main
from pegel.tables.delta import DeltaTables


def test_serve_on_a_taken_port_ends_with_one_sentence_and_code_4(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OutsideError, match=rf"127\.0\.0\.1:{port} cannot be.*--set serving\.port=N") as caught:
            main(["--set", f"serving.port={port}", "--set", f"serving.spool={tmp_path}/spool"])
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "spool").exists()


def test_serve_that_others_could_reach_without_a_key_does_not_start(tmp_path: Path) -> None:
    spool = f"serving.spool={tmp_path}/spool"
    with pytest.raises(SettingsError, match=r"serving\.host '0\.0\.0\.0'.*usage\.callers.*127\.0\.0\.1") as caught:
        main(["--set", "serving.host=0.0.0.0", "--set", "serving.port=0", "--set", spool])
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "spool").exists()


def test_serve_keeps_the_policy_of_its_settings_and_writes_down_whom_it_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, Any]] = []

    def visit(app: Any, taken: socket.socket, _: str) -> None:
        answer = TestClient(app).post("/predict", json={"text": "hello", "purpose": "social-scoring"})
        told.append((answer.status_code, answer.json()["rule"]))
        taken.close()

    monkeypatch.setattr(job, "serve", visit)
    monkeypatch.setattr(sys, "setswitchinterval", lambda _: None)  # it would stay for all other tests
    pairs = {"port": 0, "spool": tmp_path / "spool", "trace_share": 0}
    arguments = [part for key, value in pairs.items() for part in ("--set", f"serving.{key}={value}")]
    assert main([*arguments, "--set", f"storage.root={tmp_path}/tables"]) == 0
    assert told == [(403, "social-scoring")]
    (row,) = DeltaTables(str(tmp_path / "tables")).read("audit_events_serve")
    assert (row["actor"], row["decision"], row["reason"]) == ("anonymous", "refused", "forbidden_use")
