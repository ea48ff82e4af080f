"""The demo's processes: a taken port and a dead service are told in one sentence."""

import socket
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
