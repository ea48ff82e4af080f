"""The champion in memory: follows the registry's alias and is swapped whole. Edge.

A request takes the model once and keeps it until it has answered, so a swap drops nothing: the old version goes when
the last request that holds it has ended. A version that does not load, or has not passed its validation, never
replaces one that serves; and while the registry is down, the one in memory goes on.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from pegel.conf.settings import Settings
from pegel.schemas.model_io import TAG_VALIDATION, VALIDATION_PASSED
from pegel.serving.loading import load_version
from pegel.serving.served_model import ServedModel, error_type_of

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_SECONDS = 10
REQUEST_RETRIES = 1
RETRY_REFUSED_SECONDS = 30.0


class Champion:
    """Follows ``models:/NAME@champion``.

    Args:
        settings: which registry, model and alias, and how often to ask.
        on_first: is called when the first version answers, before it serves.
    """

    def __init__(self, settings: Settings, on_first: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._on_first = on_first
        self._client: Any = None
        self._current: ServedModel | None = None
        self._problem = "it is being loaded"
        self._refused: tuple[str, float] = ("", 0.0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="champion", daemon=True)

    @property
    def current(self) -> ServedModel | None:
        """The version that answers now; take it once per request."""
        return self._current

    @property
    def problem(self) -> str:
        """Why the registry's champion does not serve, in words; empty if it does."""
        return self._problem

    def start(self) -> None:
        """Follow the alias from a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """Stop following; what is loaded goes on answering."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def poll(self) -> bool:
        """Ask the registry once, and swap if the alias has moved.

        Returns:
            whether another version serves now.
        """
        try:
            return self._swap()
        except Exception as error:  # whatever MLflow or a model's code raises, serving goes on
            problem = f"{error_type_of(error)}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
            if problem != self._problem:
                log.warning("the champion cannot be asked for or loaded: %s", problem)
            self._problem = problem
            return False

    def _swap(self) -> bool:
        name, alias = self._settings.model.name, self._settings.model.champion_alias
        found = self._connected().get_model_version_by_alias(name, alias)
        version = str(found.version)
        if self._current is not None and not self._current.is_alive:
            log.error("the process of version %s of %r has ended and is started again", self._current.version, name)
            self._current = None
        if self._current is not None and self._current.version == version:
            self._problem = ""
            return False
        if self._refused[0] == version and time.monotonic() < self._refused[1]:
            return False
        self._refused = (version, time.monotonic() + RETRY_REFUSED_SECONDS)
        if found.tags.get(TAG_VALIDATION) != VALIDATION_PASSED:
            self._problem = f"version {version} has not passed its validation"
            log.error("version %s of %r has not passed its validation and is not served", version, name)
            return False
        begin = time.perf_counter()
        loaded = load_version(self._settings, version, stands_back=self._current is not None)
        if self._current is None:
            self._on_first()
        self._current, self._problem, self._refused = loaded, "", ("", 0.0)
        log.info("version %s of %r serves, loaded in %.1f s", version, name, time.perf_counter() - begin)
        return True

    def _connected(self) -> Any:
        if self._client is None:
            settings = self._settings.mlflow
            environment = settings.client_environment(timeout_seconds=REQUEST_TIMEOUT_SECONDS, retries=REQUEST_RETRIES)
            os.environ.update(environment)
            import mlflow

            tracking_uri, registry_uri = settings.tracking_uri, settings.effective_registry_uri
            mlflow.set_tracking_uri(tracking_uri)
            mlflow.set_registry_uri(registry_uri)
            self._client = mlflow.MlflowClient(tracking_uri=tracking_uri, registry_uri=registry_uri)
        return self._client

    def _follow(self) -> None:
        while True:
            self.poll()
            if self._stop.wait(self._settings.serving.poll_seconds):
                return
