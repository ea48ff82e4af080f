import socket
from pathlib import Path

import pytest

from pegel.errors import OutsideError
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
