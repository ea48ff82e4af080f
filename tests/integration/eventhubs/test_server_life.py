"""The server as a process: what survives its death, and what it says when it cannot start."""

import asyncio
import signal
import socket
import subprocess
import sys
import threading

import pytest
from azure.eventhub import EventData
from azure.eventhub.exceptions import EventHubError

from pegel.errors import OutsideError, SettingsError
from pegel.jobs import eventhubs
from pegel.local.eventhubs import EventHubsServer, serve_in_thread
from pegel.local.eventhubs.server import EMULATOR_KEY


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def start():
    """Start ``pegel eventhubs`` as a process; it is ready when it has printed its line."""
    started = []

    def run(*arguments):
        command = [sys.executable, "-m", "pegel.jobs.eventhubs", *map(str, arguments)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
        return started[-1], started[-1].stdout.readline().strip()

    yield run
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.kills
def test_acknowledged_events_survive_sigkill_in_the_middle_of_sending(tmp_path, start, sdk_of):
    arguments = ("--port", free_port(), "--data", tmp_path / "hubs", "--hub", "orders:2")
    process, line = start(*arguments)
    acknowledged, enough = [], threading.Event()
    client = sdk_of(None, "orders")
    producer = client.producer(line)

    def send():
        for number in range(100_000):
            try:
                producer.send_event(EventData(f"{number}"), partition_id="0")
            except EventHubError:
                return
            acknowledged.append(str(number))
            if number == 50:
                enough.set()

    sending = threading.Thread(target=send)
    sending.start()
    assert enough.wait(30)
    process.send_signal(signal.SIGKILL)
    process.wait()
    sending.join(60)
    assert not sending.is_alive()

    again, line_again = start(*arguments)
    assert line_again == line
    last = client.producer(line).get_partition_properties("0")["last_enqueued_sequence_number"]
    again.terminate()
    assert again.wait(30) == 0
    with serve_in_thread(EventHubsServer({"orders": 2}, tmp_path / "hubs")) as server:
        reader = sdk_of(server, "orders")
        got = reader.receiver().wait_for(last + 1)
        # The event under way when the process died may be there without an acknowledgement.
        assert [event.body_as_str() for event in got][: len(acknowledged)] == acknowledged
        assert [event.sequence_number for event in got] == list(range(last + 1))
        assert last + 1 - len(acknowledged) in (0, 1)
        reader.close()
    client.close()


def test_a_taken_port_is_one_sentence_and_exit_code_4(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        command = [sys.executable, "-m", "pegel.jobs.eventhubs", "--port", str(port), "--data", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4
    assert done.stderr == (
        f"pegel: the port {port} on 127.0.0.1 is taken by another program;"
        " stop it, or choose another with --port\n"
    )  # fmt: skip
    assert done.stdout == ""


def test_the_job_prints_the_emulators_connection_string_but_no_key_that_was_chosen(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HUB_KEY", "my own key")
    assert eventhubs.main(["--port", "0", "--data", str(tmp_path), "--available-now"]) == 0
    assert f"SharedAccessKey={EMULATOR_KEY};UseDevelopmentEmulator=true;" in capsys.readouterr().out
    options = ["--port", "0", "--data", str(tmp_path), "--available-now", "--key-env", "HUB_KEY"]
    assert eventhubs.main(options) == 0
    shown = capsys.readouterr().out
    assert "SharedAccessKey=<the value of HUB_KEY>;" in shown
    assert "my own key" not in shown


@pytest.mark.parametrize("hub", ["orders", "orders:two", "orders:0", "orders:33", "../orders:1", ".:1"])
def test_a_hub_that_makes_no_sense_is_a_settings_error(tmp_path, hub):
    with pytest.raises(SettingsError):
        eventhubs.main(["--port", "0", "--data", str(tmp_path), "--available-now", "--hub", hub])


def test_a_port_that_is_none_is_a_usage_error(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        eventhubs.main(["--port", "99999", "--data", str(tmp_path)])
    assert ended.value.code == 2
    assert "'99999' is no port" in capsys.readouterr().err


def test_two_servers_cannot_share_a_folder(tmp_path):
    other = EventHubsServer({"orders": 1}, tmp_path)
    with (
        serve_in_thread(EventHubsServer({"orders": 1}, tmp_path)),
        pytest.raises(OutsideError, match="already uses the folder"),
    ):
        asyncio.run(other.start())
    with serve_in_thread(other):
        assert other.port > 0


def test_a_hub_cannot_lose_partitions_but_may_gain_some(tmp_path):
    with serve_in_thread(EventHubsServer({"orders": 2}, tmp_path)):
        pass
    with pytest.raises(SettingsError, match="cannot shrink from 2 partitions to 1"):
        asyncio.run(EventHubsServer({"orders": 1}, tmp_path).start())
    with serve_in_thread(EventHubsServer({"orders": 3}, tmp_path)) as server:
        assert server.port > 0
