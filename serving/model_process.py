"""A version in a process of its own, as serving asks it. Edge.

Loading a version is seconds of Python, and an interpreter runs one thread at a time: in serving's own process every
answer would wait for it. Here it costs answers nothing but the other core; its code cannot reach serving's memory or
secrets, and a version that crashes takes nothing along.
"""

import os
import socket
import subprocess
import sys
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, ClassVar

from pegel.errors import OutsideError
from pegel.schemas.model_io import Answer, answers_of
from pegel.serving.model_wire import ANSWERS, END, FAILED, LOAD, PIECE, STREAM, TEXTS, decode, encode
from pegel.serving.served_model import ModelFailedError

END_SECONDS = 10
"""So long may a process take to end after its last user has gone; then it is killed."""

OWN_VARIABLES = "PEGEL_"
"""Settings and secrets of Pegel: no version needs them, so its process does not get them."""


class ModelProcess:
    """A process that has loaded one version. It ends when nobody holds this any more, and when this process ends.

    Args:
        version: its number in the registry.
        uri: where MLflow finds it.
        tracking_uri, registry_uri: MLflow's stores.
        stands_back: whether it is loaded at low priority.

    Raises:
        ModelFailedError: if the version does not load, or does not answer a first text.
        OutsideError: if the process ends meanwhile.
    """

    shares_turns: ClassVar[bool] = True
    """Most of what it costs is spent around the numbers: eight texts take hardly longer than one."""

    def __init__(
        self, version: str, uri: str, *, tracking_uri: str, registry_uri: str, stands_back: bool = True
    ) -> None:
        self.version = version
        ours, theirs = socket.socketpair()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(OWN_VARIABLES)}
        with theirs:
            command = [sys.executable, "-m", "pegel.serving.model_host", str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, env=environment, pass_fds=(theirs.fileno(),)
            )
        self._control = ours
        self._free: deque[Connection] = deque()
        # At the interpreter's own end the socket closes by itself, and no thread could be started.
        weakref.finalize(self, _end, self._process, ours).atexit = False
        connection = self._connect()
        stores = {"tracking_uri": tracking_uri, "registry_uri": registry_uri}
        self._say(connection, {LOAD: {"uri": uri, "version": version, "stands_back": stands_back, **stores}})
        _checked(self._hear(connection))
        self._free.append(connection)

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def answer(self, text: str) -> Answer:
        """Answer one text."""
        (answer,) = self.answer_all([text])
        return answer

    def answer_all(self, texts: Sequence[str]) -> list[Answer]:
        """Answer several texts at once, in order.

        Raises:
            ModelFailedError: what the model raised.
            OutsideError: if its process has ended.
        """
        connection = self._take()
        self._say(connection, {TEXTS: list(texts)})
        said = self._hear(connection)
        self._free.append(connection)
        return answers_of(_checked(said)[ANSWERS])

    def stream(self, text: str) -> Iterator[str | Answer]:
        """Answer one text piece by piece, the whole answer last; a model that cannot gives one piece.

        Raises:
            ModelFailedError: what the model raised.
            OutsideError: if its process has ended.
        """
        connection, ended = self._take(), False
        try:
            self._say(connection, {STREAM: text})
            while END not in (said := self._hear(connection)):
                ended = FAILED in said
                yield said[PIECE] if PIECE in _checked(said) else answers_of(said[ANSWERS])[0]
            ended = True
        finally:
            if ended:
                self._free.append(connection)
            else:
                # The model hears of it as it says its next piece.
                connection.close()

    def _take(self) -> Connection:
        try:
            return self._free.pop()
        except IndexError:
            return self._connect()

    def _connect(self) -> Connection:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._control, [b"+"], [theirs.fileno()])
            except OSError as error:
                ours.close()
                raise self._gone() from error
        return Connection(ours.detach())

    def _say(self, connection: Connection, message: dict[str, Any]) -> None:
        try:
            connection.send_bytes(encode(message))
        except OSError as error:
            raise self._gone() from error

    def _hear(self, connection: Connection) -> dict[str, Any]:
        try:
            return decode(connection.recv_bytes())
        except (EOFError, OSError) as error:
            raise self._gone() from error

    def _gone(self) -> OutsideError:
        code = self._process.poll()
        how = f"with {code}" if code is not None else "or is ending"
        return OutsideError(f"the process of version {self.version} has ended {how}; its own log says why")


def _checked(said: dict[str, Any]) -> dict[str, Any]:
    if FAILED in said:
        raise ModelFailedError(said[FAILED]["type"], said[FAILED]["message"])
    return said


def _end(process: "subprocess.Popen[bytes]", control: socket.socket) -> None:
    control.close()

    def wait() -> None:
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    threading.Thread(target=wait, name="model-end", daemon=True).start()
