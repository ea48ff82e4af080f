import socket
from pathlib import Path

import pytest

from pegel.errors import OutsideError, SettingsError
from pegel.jobs.serve import main


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
