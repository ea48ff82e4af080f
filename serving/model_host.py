"""The process of one version: loads it, answers for the process that started it, and ends with that. Edge.

Run as ``python -m pegel.serving.model_host FD``. ``FD`` is a socket over which the other side sends connections; the
first asks to load. When the socket is closed, which the other side's end does too, this process ends.
"""

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing.connection import Connection
from typing import Any

from pegel.serving.model_wire import ANSWERS, END, FAILED, LOAD, PIECE, READY, STREAM, TEXTS, columns_of, decode, encode
from pegel.serving.responsive import keep_out_of_collections
from pegel.serving.served_model import InProcessModel

NICENESS = 5
"""Of the thread that loads where another version answers meanwhile: that goes first, and yet this one gets ready."""

_log = logging.getLogger(__name__)


def main() -> int:
    """Load, then answer until the other side closes."""
    # A terminal's Ctrl-C and some supervisors signal every process; what is under way is still to be answered.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    control = socket.socket(fileno=int(sys.argv[1]))
    first = _next_connection(control)
    loaded: list[InProcessModel] = []
    if first is not None:
        threading.Thread(target=_begin, args=(first, loaded), daemon=True).start()
    while (connection := _next_connection(control)) is not None:
        # None comes before the first one has said that the version is ready.
        threading.Thread(target=_answer_all_on, args=(connection, loaded[0]), daemon=True).start()
    # Whatever the model's code is doing: nobody waits for it any more.
    os._exit(0)


def _next_connection(control: socket.socket) -> Connection | None:
    _, (*descriptors,), _, _ = socket.recv_fds(control, 1, 1)
    return Connection(descriptors[0]) if descriptors else None


def _begin(connection: Connection, loaded: list[InProcessModel]) -> None:
    try:
        # numpy starts its threads here, as a thread is as patient as the one that starts it.
        import numpy  # noqa: F401

        asked = decode(connection.recv_bytes())[LOAD]
        with ThreadPoolExecutor(1, initializer=_stand_back if asked.pop("stands_back") else None) as loader:
            model = loader.submit(_load, **asked).result()
        # The first answer is slow; no request shall wait for it.
        model.answer("")
    except Exception as error:  # a model's code may raise anything
        connection.send_bytes(encode(_failed(error)))
        return
    keep_out_of_collections()
    loaded.append(model)
    connection.send_bytes(encode({READY: True}))
    _answer_all_on(connection, model)


def _stand_back() -> None:
    # Elsewhere it would be the whole process, and for good.
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _load(*, uri: str, version: str, tracking_uri: str, registry_uri: str) -> InProcessModel:
    import mlflow

    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_registry_uri(registry_uri)
    # MLflow's own exporter would send what the model's code records as it is, unmasked.
    mlflow.tracing.disable()
    return InProcessModel(version, mlflow.pyfunc.load_model(uri))


def _answer_all_on(connection: Connection, model: InProcessModel) -> None:
    try:
        while True:
            with closing(_messages(model, decode(connection.recv_bytes()))) as messages:
                for message in messages:
                    connection.send_bytes(message)
    except (EOFError, OSError):
        # The other side has what it wanted; a stream that it closes ends at its next piece.
        connection.close()


def _messages(model: InProcessModel, asked: dict[str, Any]) -> Generator[bytes, None, None]:
    """What the model says; what it raises is said too, an error of the system as any other."""
    try:
        if TEXTS in asked:
            yield encode({ANSWERS: columns_of(model.answer_all(asked[TEXTS]))})
            return
        for piece in model.stream(asked[STREAM]):
            yield encode({PIECE: piece} if isinstance(piece, str) else {ANSWERS: columns_of([piece])})
        yield encode({END: True})
    except Exception as error:  # a model's code may raise anything
        _log.error("version %s failed", model.version, exc_info=error)
        yield encode(_failed(error))


def _failed(error: Exception) -> dict[str, Any]:
    return {FAILED: {"type": type(error).__name__, "message": str(error)}}


if __name__ == "__main__":
    raise SystemExit(main())
