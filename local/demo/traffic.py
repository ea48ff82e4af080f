"""The demo's users: they ask, and later say what the right answer was. Edge.

Queries go through ``/predict`` and labels through ``/feedback``, as a real application would send them. Now and then a
careless producer writes to the hub itself: one event that is not JSON, and one event twice.
"""

import asyncio
import logging
import random
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from azure.eventhub import EventData, EventHubProducerClient

from pegel.local.demo.queries import Query, QueryPool, draw
from pegel.schemas.events import PredictionEvent

log = logging.getLogger(__name__)

CARELESS_EVERY = 500
"""After so many queries the careless producer writes three events: one broken, one twice."""

CHANNELS = ("web", "phone", "car")


@dataclass(frozen=True, slots=True)
class TrafficPlan:
    """How much is asked, and what the drift is made of. Shares are of all queries, 0 to 1."""

    per_second: float = 60.0
    label_delay_seconds: float = 20.0
    novel_share: float = 0.25
    outside_share: float = 0.05
    seed: int = 7


@dataclass(slots=True)
class TrafficCounts:
    """What was sent. ``events`` counts prediction events that reached the producer or the hub, copies included."""

    events: int = 0
    labels: int = 0
    failed: int = 0


@dataclass(slots=True)
class Traffic:
    """Asks from its own thread until it is stopped."""

    pool: QueryPool
    plan: TrafficPlan
    serving_url: str
    connection_string: str
    hub: str
    model: str
    counts: TrafficCounts = field(default_factory=TrafficCounts)
    _drifted: bool = False
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _last: dict[str, Any] = field(default_factory=dict)

    def start(self) -> None:
        """Begin with the usual traffic."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="traffic", daemon=True)
        self._thread.start()

    def begin_drift(self) -> datetime:
        """From now on novel and out-of-scope queries come as well; gives the onset."""
        self._drifted = True
        return datetime.now(UTC)

    def stop(self) -> None:
        """Stop asking, and wait for the requests that are under way; labels that are not due yet are not sent."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(30)

    async def _run(self) -> None:
        rng = random.Random(self.plan.seed)
        under_way: set[asyncio.Task[None]] = set()
        limits = httpx.Limits(max_connections=32, max_keepalive_connections=32)
        async with httpx.AsyncClient(base_url=self.serving_url, timeout=15, limits=limits) as client:
            begin, asked = time.monotonic(), 0
            while not self._stop.is_set():
                # Catch up with the clock rather than sleep a fixed while: the rate holds on a busy machine.
                while asked < (time.monotonic() - begin) * self.plan.per_second and len(under_way) < 2000:
                    query = draw(
                        rng,
                        self.pool,
                        drifted=self._drifted,
                        novel_share=self.plan.novel_share,
                        outside_share=self.plan.outside_share,
                    )
                    task = asyncio.create_task(self._ask(client, query, rng.choice(CHANNELS)))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                    asked += 1
                    if asked % CARELESS_EVERY == 0 and self._last:
                        await asyncio.to_thread(self._be_careless)
                await asyncio.sleep(0.01)
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _ask(self, client: httpx.AsyncClient, query: Query, channel: str) -> None:
        asked_at = time.monotonic()
        try:
            answer = await client.post("/predict", json={"text": query.text, "segments": {"channel": channel}})
        except httpx.HTTPError:
            self.counts.failed += 1
            return
        if answer.status_code != httpx.codes.OK:
            self.counts.failed += 1
            return
        self.counts.events += 1
        body = answer.json()
        self._last = {**body, "text": query.text, "channel": channel}
        while (left := asked_at + self.plan.label_delay_seconds - time.monotonic()) > 0:
            if self._stop.is_set():
                return
            await asyncio.sleep(min(left, 0.5))
        label = {"event_id": body["event_id"], "prediction_time": body["event_time"], "label": query.label}
        try:
            given = await client.post("/feedback", json=label)
        except httpx.HTTPError:
            return
        self.counts.labels += given.status_code in (httpx.codes.OK, httpx.codes.ACCEPTED)

    def _be_careless(self) -> None:
        event = PredictionEvent(
            event_id=str(uuid.uuid4()),
            event_time=datetime.now(UTC),
            model_name=self.model,
            model_version=self._last["version"],
            input=self._last["text"],
            features={"known_word_share": 1.0},
            output=self._last["output"],
            probabilities=self._last["probabilities"],
            segments={"channel": self._last["channel"]},
        )
        body = event.model_dump_json(by_alias=True, exclude_none=True)
        with EventHubProducerClient.from_connection_string(self.connection_string, eventhub_name=self.hub) as producer:
            producer.send_batch([EventData(body), EventData(body), EventData('{"event_id": "cut off')])
        self.counts.events += 3
