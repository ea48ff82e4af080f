"""The demo's processes: a taken port and a dead service are told in one sentence."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pegel.errors import OutsideError
from pegel.local.demo.services import Services, free_port, require_free


def test_a_taken_port_is_refused_before_anything_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OutsideError, match=f"port {taken.getsockname()[1]} for the page is taken"):
            require_free(taken.getsockname()[1], "the page")
    require_free(free_port(), "the page")


def test_a_service_that_ends_is_named_with_the_last_line_of_its_log(tmp_path: Path) -> None:
    services = Services(tmp_path / "logs", {})
    services.start("eventhubs", "--hub", "no-count")
    with pytest.raises(OutsideError, match=r"'eventhubs' ended with code 3.*NAME:PARTITIONS"):
        services.wait_for_port(free_port(), "the hub")
    services.stop()


def test_ctrl_c_while_services_stop_leaves_none_behind(tmp_path: Path) -> None:
    code = "import signal, time\ndef end(*_):\n time.sleep(1)\n raise SystemExit\nsignal.signal(signal.SIGTERM, end)"
    command = [sys.executable, "-c", f"{code}\nprint('ready', flush=True)\ntime.sleep(60)"]
    services = Services(tmp_path / "logs", {})
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) for _ in range(3)]
    for name, process in zip(("first", "second", "third"), processes, strict=True):
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        services._running[name] = process
    interrupts: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    try:
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        services.stop()
        timer.join()
        assert [process.poll() for process in processes] == [0, 0, 0]
        assert interrupts == []
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)
