"""The processes of the demo: started on loopback, watched, and ended by id. Edge."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from pegel.errors import OutsideError

LOOK_SECONDS = 0.2


def free_port() -> int:
    """A port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(port: int, what: str) -> None:
    """Refuse a port that is taken, before anything is started.

    Raises:
        OutsideError: if something listens on it.
    """
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            msg = f"port {port} for {what} is taken on this machine; stop what listens there or choose another port"
            raise OutsideError(msg)


@dataclass(slots=True)
class Services:
    """Started processes by name; each writes its log to ``folder/NAME.log``."""

    folder: Path
    environ: Mapping[str, str]
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *arguments: str) -> None:
        """Start ``pegel NAME`` with the arguments."""
        self.folder.mkdir(parents=True, exist_ok=True)
        module = f"pegel.jobs.{name.replace('-', '_')}"
        with (self.folder / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environ},
                start_new_session=True,  # Ctrl-C reaches the demo alone, which then stops the services in order
            )

    @property
    def running(self) -> Collection[str]:
        """Those that were started and not stopped."""
        return self._running.keys()

    def check(self) -> None:
        """See that every service still runs.

        Raises:
            OutsideError: if one has ended; the sentence holds the last line of its log.
        """
        for name, process in self._running.items():
            if process.poll() is not None:
                log = self.folder / f"{name}.log"
                lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["(nothing)"]
                msg = f"the service {name!r} ended with code {process.returncode}; its log {log} ends: {lines[-1]}"
                raise OutsideError(msg)

    def wait_for(self, url: str, what: str, seconds: float = 90) -> None:
        """Wait until a URL answers 200.

        Raises:
            OutsideError: if it does not in time, or a service ends meanwhile.
        """

        def answers() -> bool:
            try:
                return httpx.get(url, timeout=2).status_code == httpx.codes.OK
            except httpx.HTTPError:
                return False

        if self._comes(answers, seconds):
            return
        msg = f"{what} did not answer at {url} within {seconds:.0f} s; see the logs in {self.folder}"
        raise OutsideError(msg)

    def wait_for_port(self, port: int, what: str, seconds: float = 30) -> None:
        """Wait until a port on loopback takes connections.

        Raises:
            OutsideError: if it does not in time, or a service ends meanwhile.
        """

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        if self._comes(listens, seconds):
            return
        msg = f"{what} did not listen on port {port} within {seconds:.0f} s; see the logs in {self.folder}"
        raise OutsideError(msg)

    def wait_until(self, ready: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait until something is so.

        Raises:
            OutsideError: if it does not come in time, or a service ends meanwhile.
        """
        if self._comes(ready, seconds):
            return
        msg = f"waited {seconds:.0f} s in vain until {what}; see the logs in {self.folder}"
        raise OutsideError(msg)

    def _comes(self, ready: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.check()
            if ready():
                return True
            time.sleep(LOOK_SECONDS)
        return False

    def stop(self, *names: str, patience_seconds: float = 20) -> None:
        """Ask the named services (all, if none is named) to stop; end by id what does not in time.

        The first one is asked when the others are gone, since they talk to it. Until all are gone Ctrl-C does nothing
        more: a second one would leave processes behind.
        """
        chosen = [self._running.pop(name) for name in names or list(self._running) if name in self._running]
        with _undisturbed():
            for group in (chosen[1:], chosen[:1]):
                _end(group, patience_seconds)


def _end(processes: Sequence[subprocess.Popen[bytes]], patience_seconds: float) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + patience_seconds
    for process in processes:
        try:
            process.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ignore Ctrl-C and a request to end; only the main thread is asked for either."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
