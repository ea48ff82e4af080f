import json
import socket

import pytest

from pegel.errors import OutsideError, SettingsError
from pegel.jobs.dashboard import main


def test_a_taken_port_is_one_sentence_and_exit_code_4(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(OutsideError, match=rf"127\.0\.0\.1:{port} .*--set dashboard\.port=N") as caught:
            main(["--set", f"dashboard.port={port}", "--set", f"storage.root={tmp_path}"])

    assert caught.value.exit_code == 4


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "dashboard.example", "::"])
def test_an_address_that_others_see_is_refused(host):
    with pytest.raises(SettingsError, match="no login"):
        main(["--set", f"dashboard.host='{host}'"])


def test_available_now_prints_the_overview_and_stops(tmp_path, capsys):
    assert main(["--available-now", "--set", f"storage.root={tmp_path}"]) == 0

    assert json.loads(capsys.readouterr().out)["headline"]["level"] == "unknown"
