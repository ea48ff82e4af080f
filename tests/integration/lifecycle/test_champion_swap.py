"""Serving over a real socket while the alias moves in the real registry: no request is dropped."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import uvicorn

from pegel.errors import OutsideError
from pegel.jobs.serve import main
from pegel.jobs.wiring.web_server import listen
from pegel.schemas.model_io import TAG_VALIDATION, VALIDATION_PASSED
from pegel.serving.app import create_app
from pegel.serving.champion import Champion
from pegel.serving.producer import EventProducer
from pegel.serving.service import Serving
from pegel.serving.spool import Spool

CALLERS = 4


class Served:
    """The application on a port of its own, and the events it sent."""

    def __init__(self, settings: Any, folder: Any) -> None:
        self.events: list[dict[str, Any]] = []
        self._taken = listen("127.0.0.1", 0, "serving")
        self.url = f"http://127.0.0.1:{self._taken.getsockname()[1]}"
        producers = [
            EventProducer(hub, self._send, Spool(folder / hub), flush_seconds=0.02, max_buffered_events=100_000)
            for hub in ("predictions", "feedback")
        ]
        app = create_app(Serving(settings, Champion(settings), *producers))
        self._server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._taken]}, daemon=True)
        self._thread.start()

    def _send(self, bodies: Any) -> None:
        self.events += [json.loads(body) for body in bodies]

    def version(self) -> str | None:
        try:
            return httpx.get(f"{self.url}/health", trust_env=False).json()["version"]
        except httpx.TransportError:
            return None

    def wait_for_version(self, version: str) -> None:
        for _ in range(1500):
            if self.version() == version:
                return
            threading.Event().wait(0.02)
        pytest.fail(f"version {version} did not serve within 30 s")

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()


class Callers:
    """Threads that ask one question after the other and keep what came back."""

    def __init__(self, url: str) -> None:
        self.answers: list[tuple[int, dict[str, Any]]] = []
        self._url = url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, trust_env=False, timeout=30) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post("/predict", json={"text": "play the song"})
                    self.answers.append((answer.status_code, answer.json()))
                except httpx.HTTPError as error:
                    self.answers.append((0, {"detail": repr(error)}))

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)


@pytest.fixture
def two_versions(deploy: Callable[..., Any], champion: Any) -> Any:
    made = deploy("swapped")
    shared = champion.registry.client.get_model_version("shared", "1")
    assert made.registry.register(shared.source, {TAG_VALIDATION: VALIDATION_PASSED}) == "2"
    return made


@pytest.fixture
def served(two_versions: Any, tmp_path: Any) -> Iterator[Served]:
    made = Served(two_versions.settings, tmp_path)
    yield made
    made.stop()


def test_alias_moves_and_no_request_is_dropped(two_versions: Any, served: Served) -> None:
    served.wait_for_version("1")
    callers = Callers(served.url)
    for version, before in (("2", "1"), ("1", "2"), ("2", "1")):
        two_versions.registry.move_champion(version, before)
        served.wait_for_version(version)
    callers.stop()
    served.stop()
    assert {status: answer for status, answer in callers.answers if status != 200} == {}
    assert {answer["version"] for _, answer in callers.answers} == {"1", "2"}
    told = Counter((answer["event_id"], answer["version"]) for _, answer in callers.answers)
    sent = Counter((event["event_id"], event["model_version"]) for event in served.events)
    assert sent == told
    assert max(told.values()) == 1


def test_serve_told_to_do_what_is_there_sees_whether_the_champion_answers(champion: Any) -> None:
    store = ["--available-now", "--set", f"mlflow.tracking_uri={champion.settings.mlflow.tracking_uri}"]
    assert main([*store, "--set", "model.name=shared"]) == 0
    with pytest.raises(OutsideError, match="champion of 'nobody' does not load"):
        main([*store, "--set", "model.name=nobody"])
