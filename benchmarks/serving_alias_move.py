"""``pegel serve`` at 200 requests a second while the alias moves, against the same while it stays.

The real job as a process of its own, with a real registry (sqlite), the audit trail in Delta and the local Event Hubs
to send to; a second process asks at a fixed rate, and the alias is moved from here, as a retraining would. Stretches in
which it moves take turns with quiet ones. A request's time counts from when it was due.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from equipment import open_loop

from pegel.conf.settings import Settings
from pegel.lifecycle.labelled_text import LabelledText
from pegel.lifecycle.registry import Registry
from pegel.lifecycle.text_classifier import TextClassifierAdapter
from pegel.local.demo.services import Services, free_port
from pegel.local.eventhubs.server import EMULATOR_KEY, EMULATOR_KEY_NAME, connection_string
from pegel.schemas.model_io import TAG_VALIDATION, VALIDATION_PASSED

PER_SECOND = 200.0
ROUNDS = 3
WARM_UP = 1_000
MOVE_EVERY_SECONDS = 5.0
CLASSES, WORDS, TEXTS_OF_A_CLASS = 150, 5_000, 60
MODEL = "assistant"


def run(events: int) -> dict[str, Any]:
    """Measure both.

    Args:
        events: how many requests are sent in all, the warm-up not counted.

    Returns:
        ``ours`` is the 99th percentile while the alias moves, ``other`` the quiet one, both in milliseconds, and what
        else was measured; ``failures`` has to be 0.

    Raises:
        RuntimeError: if the alias did not move while it should.
    """
    each = max(int(PER_SECOND * MOVE_EVERY_SECONDS * 2), events // (2 * ROUNDS))
    with tempfile.TemporaryDirectory(prefix="pegel-bench-") as name:
        bench = _Bench(Path(name))
        try:
            bench.start()
            bench.ask(WARM_UP, moving=False)
            quiet, moving = [], []
            for _ in range(ROUNDS):
                quiet.append(bench.ask(each, moving=False))
                moving.append(bench.ask(each, moving=True))
        finally:
            bench.services.stop()
    return _result(quiet, moving)


def _result(quiet: list[dict[str, Any]], moving: list[dict[str, Any]]) -> dict[str, Any]:
    if any(len(stretch["versions"]) < 2 for stretch in moving):
        msg = f"the alias did not move under the requests: {[stretch['versions'] for stretch in moving]}"
        raise RuntimeError(msg)
    statuses = sum((Counter(stretch["statuses"]) for stretch in quiet + moving), Counter())
    before, during = (np.concatenate([stretch["seconds"] for stretch in part]) * 1e3 for part in (quiet, moving))
    p99 = {name: float(np.percentile(part, 99)) for name, part in (("quiet", before), ("moving", during))}
    return {
        "ours": round(p99["moving"], 2),
        "other": round(p99["quiet"], 2),
        "ratio": round(p99["moving"] / p99["quiet"], 3),
        "unit": "ms, 99th percentile",
        "requests": int(before.size + during.size),
        "per_second": PER_SECOND,
        "moves": sum(stretch["moves"] for stretch in moving),
        "failures": sum(statuses.values()) - statuses["200"],
        "statuses": dict(statuses),
        "quiet_ms": _percentiles(before),
        "moving_ms": _percentiles(during),
        "quiet_p99_by_round": [round(float(np.percentile(s["seconds"], 99)) * 1e3, 2) for s in quiet],
        "moving_p99_by_round": [round(float(np.percentile(s["seconds"], 99)) * 1e3, 2) for s in moving],
    }


def _percentiles(values: Any) -> dict[str, float]:
    found = {f"p{share:g}": round(float(np.percentile(values, share)), 2) for share in (50, 90, 99, 99.9)}
    return found | {"worst": round(float(values.max()), 2)}


class _Bench:
    """The processes and the registry."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hub, self._port = free_port(), free_port()
        self._settings = Settings.model_validate(
            {
                "storage": {"root": str(folder / "tables")},
                "mlflow": {
                    "tracking_uri": f"sqlite:///{folder / 'mlflow.db'}",
                    "artifact_location": (folder / "artifacts").as_uri(),
                },
                "model": {"name": MODEL},
                "serving": {"port": self._port, "spool": str(folder / "spool"), "poll_seconds": 0.5},
            }
        )
        secret = connection_string(self._hub, EMULATOR_KEY_NAME, EMULATOR_KEY)
        self.services = Services(folder / "logs", {"PEGEL_EVENTHUBS_CONNECTION_STRING": secret})
        self._champion = "1"

    def start(self) -> None:
        """Make two versions of a model, and start the hub and serving."""
        self._registry = Registry(self._settings)
        rows = _rows()
        experiment = self._registry.prepare_store()
        for name in ("first", "second"):
            uri = TextClassifierAdapter().make(rows, experiment_id=experiment, run_name=name)
            self._registry.register(uri, {TAG_VALIDATION: VALIDATION_PASSED})
        self._move("1")
        config = self._folder / "settings.yml"
        config.write_text(self._settings.model_dump_json(), encoding="utf-8")
        data = str(self._folder / "hub")
        self.services.start(
            "eventhubs", "--port", str(self._hub), "--data", data, "--hub", "predictions:2", "--hub", "feedback:1"
        )
        self.services.wait_for_port(self._hub, "the event hub")
        self.services.start("serve", "--config", str(config))
        self.services.wait_for(f"http://127.0.0.1:{self._port}/health/ready", "serving")

    def ask(self, requests: int, *, moving: bool) -> dict[str, Any]:
        """Ask so often, and move the alias meanwhile or not."""
        command = [sys.executable, open_loop.__file__, str(self._port), str(requests), str(PER_SECOND)]
        body = json.dumps({"text": "w17 w3 w911 w4 w250 w77", "segments": {"channel": "web"}}).encode()
        moves = int(requests / PER_SECOND / MOVE_EVERY_SECONDS) if moving else 0
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as asking:
            assert asking.stdin is not None
            asking.stdin.write(body)
            asking.stdin.close()
            asking.stdin = None
            for _ in range(moves):
                time.sleep(MOVE_EVERY_SECONDS / 2)
                self._move("2" if self._champion == "1" else "1")
                time.sleep(MOVE_EVERY_SECONDS / 2)
            out, _ = asking.communicate()
        self._wait_for_champion()
        found: dict[str, Any] = json.loads(out)
        return found | {"moves": moves}

    def _wait_for_champion(self) -> None:
        """Wait until the last move has arrived, so that the next stretch begins quietly."""
        deadline = time.monotonic() + 60
        while (served := self._served()) != self._champion:
            if time.monotonic() > deadline:
                msg = f"version {self._champion} does not serve after 60 s, but {served} still does"
                raise RuntimeError(msg)
            time.sleep(0.1)

    def _served(self) -> str:
        answer = httpx.get(f"http://127.0.0.1:{self._port}/health", trust_env=False, timeout=30)
        return str(answer.json()["version"])

    def _move(self, version: str) -> None:
        self._registry.client.set_registered_model_alias(MODEL, self._settings.model.champion_alias, version)
        self._champion = version


def _rows() -> list[LabelledText]:
    """Texts of many classes: each has words of its own beside those of all."""
    rng = random.Random(5)
    own = {f"class{i:03d}": [f"w{rng.randrange(WORDS)}" for _ in range(12)] for i in range(CLASSES)}
    return [
        LabelledText(" ".join(rng.choices(words, k=5) + [f"w{rng.randrange(WORDS)}" for _ in range(4)]), label)
        for label, words in own.items()
        for _ in range(TEXTS_OF_A_CLASS)
    ]
