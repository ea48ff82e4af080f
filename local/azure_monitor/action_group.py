"""The action group: posts alerts to a secure webhook and tries again as the real one does. Edge.

Source of the table: the page on action groups. Only 408, 429, 503, 504 and failed connections are tried again, after 5,
20, 5, 40 and 5 seconds; then the endpoint is not called for 15 minutes.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from pegel.local.azure_monitor.rules import Transition

RETRY_SECONDS = (5, 20, 5, 40, 5)
BLACKOUT_SECONDS = 900
RETRIED = (408, 429, 503, 504)

_TIMEOUT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class WebhookCall:
    """One call that was made; ``status`` is None if there was no answer."""

    at: datetime
    rule: str
    condition: str
    incident_id: str
    azure_alert_id: str
    attempt: int
    status: int | None


class ActionGroup:
    """Posts in threads of its own, as calls of an action group are neither ordered nor one after the other.

    Args:
        token: makes a bearer token for each call.
        delay_scale: waits are this many times as long as the real ones.
    """

    def __init__(self, token: Callable[[], str], delay_scale: float) -> None:
        self._token = token
        self._scale = delay_scale
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._silent_until: dict[str, float] = {}
        self.calls: list[WebhookCall] = []

    def post(self, url: str, transition: Transition, payload: Mapping[str, Any]) -> None:
        """Begin to post; this returns at once."""
        thread = threading.Thread(target=self._post, args=(url, transition, payload), daemon=True)
        with self._lock:
            self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        thread.start()

    def stop(self) -> None:
        """Give up what waits, and end the threads."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_TIMEOUT_SECONDS + 1)

    def _post(self, url: str, transition: Transition, payload: Mapping[str, Any]) -> None:
        if time.monotonic() < self._silent_until.get(url, 0.0):
            return
        for attempt, delay in enumerate((*RETRY_SECONDS, None), start=1):
            status = self._call(url, payload)
            with self._lock:
                self.calls.append(_record(transition, attempt, status))
            if status is not None and status not in RETRIED:
                return
            if delay is None:
                self._silent_until[url] = time.monotonic() + BLACKOUT_SECONDS * self._scale
            elif self._stop.wait(delay * self._scale):
                return

    def _call(self, url: str, payload: Mapping[str, Any]) -> int | None:
        headers = {"Authorization": f"Bearer {self._token()}", "User-Agent": "IcMBroadcaster/1.0"}
        try:
            # Proxies of the environment are for the outside; what is called here lies on this machine.
            with httpx.Client(timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
                return client.post(url, json=payload, headers=headers).status_code
        except httpx.HTTPError:
            return None


def _record(transition: Transition, attempt: int, status: int | None) -> WebhookCall:
    return WebhookCall(
        datetime.now(UTC),
        transition.rule,
        transition.condition,
        transition.incident_id,
        transition.azure_alert_id,
        attempt,
        status,
    )
