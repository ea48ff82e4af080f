"""An hour and a half of a watched model, as rows of its tables: quiet, a false alarm, drift, retraining, proof.

Everything follows from ``now`` and a seed, so a page of it is the same at every run. Nothing here is measured.
"""

import hashlib
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

Rows = dict[str, list[dict[str, Any]]]

MODEL = "assistant"
COLUMNS = {
    "input_length": (0.35, True),
    "input_words": (0.28, True),
    "confidence": (0.92, True),
    "known_word_share": (1.24, True),
    "output": (0.66, False),
}
"""Column -> its shift while the drift lasts, and whether it is numeric."""

HOSTILE = '<script>alert("x")</script>'
HOSTILE_LONG = "\x1b[31mred\x1b[0m \u202e" + "very-long-name-" * 40 + "</td><img src=x onerror=alert(1)>"

STAGES = ("quiet", "opened", "confirmed", "proving", "closed")
_BASE = 10**9
_BATCH_S = 3
_WINDOW_S = 10
_PER_SECOND = 14


@dataclass(frozen=True)
class Evening:
    """When things happen: as moments, and None for what has not happened yet."""

    now: datetime
    stage: str
    minutes: int

    @property
    def start(self) -> datetime:
        return self.now - timedelta(minutes=self.minutes)

    @property
    def onset(self) -> datetime | None:
        ago = {"quiet": None, "opened": 20, "confirmed": 45, "proving": 250, "closed": 1300}[self.stage]
        return None if ago is None else _floor(self.now - timedelta(seconds=ago))

    def after(self, seconds: float) -> datetime | None:
        """The moment so long after the onset, if it has come."""
        if self.onset is None:
            return None
        moment = self.onset + timedelta(seconds=seconds)
        return moment if moment <= self.now else None

    @property
    def promoted(self) -> datetime | None:
        return self.after(172)

    def drifts(self, moment: datetime) -> bool:
        return self.onset is not None and moment >= self.onset

    def version(self, moment: datetime) -> str:
        return "8" if self.promoted is not None and moment >= self.promoted else "7"


def evening(now: datetime, stage: str, minutes: int = 90) -> Rows:
    """All tables of an evening that has come to ``stage``."""
    told = Evening(now, stage, minutes)
    rng = random.Random(7)
    return {
        "batches": _batches(told, rng),
        "profiles": _profiles(told, rng),
        "metrics": _metrics(told, rng),
        "blocks": _blocks(told, rng),
        "dead_letters": _dead_letters(told),
        "baselines": [
            _baseline("7", told.start, 8120),
            *([_baseline("8", told.promoted, 9644)] if told.promoted else []),
        ],
        "alerts": _alerts(told),
        "deliveries": _deliveries(told),
        "webhook_calls": _calls(told),
        "retrainings": _retrainings(told),
        "promotions": _promotions(told),
    }


def with_hostile_model(rows: Rows, now: datetime) -> Rows:
    """The same evening with a second model whose names, columns and messages come from someone who means harm."""
    model = HOSTILE
    more = {
        "profiles": [
            {**r, "model": model, "version": HOSTILE_LONG, "batch_id": r["batch_id"]} for r in rows["profiles"][-120:]
        ],
        "metrics": [
            {**r, "model": model, "version": HOSTILE, "column": HOSTILE_LONG if r["column"] == "output" else HOSTILE}
            for r in rows["metrics"]
            if r["column"] in {"output", "confidence"}
        ],
        "blocks": [],
        "alerts": [
            _alert(
                Evening(now, "opened", 30),
                1,
                "opened",
                now - timedelta(seconds=30),
                model=model,
                version=HOSTILE_LONG,
                segment=f"country={HOSTILE}",
                column=HOSTILE,
                columns=[HOSTILE, HOSTILE_LONG],
                title=f"Drift in {HOSTILE} {HOSTILE_LONG}",
                message=HOSTILE_LONG,
                runbook="javascript:alert(1)",
                incident_id=HOSTILE,
                alert_id="hostile-1",
            )
        ],
        "dead_letters": [{**_dead_letter(now, 900 + i), "reason": HOSTILE, "hub": HOSTILE_LONG} for i in range(2)],
        "promotions": [
            {
                "model": model,
                "expected_version": "",
                "new_version": HOSTILE,
                "at": now - timedelta(minutes=4),
                "by": HOSTILE_LONG,
                "reason": HOSTILE,
            }
        ],
        "webhook_calls": [
            {
                "call_id": "hostile",
                "received_at": now - timedelta(minutes=2),
                "azure_alert_id": HOSTILE,
                "condition": "Fired",
                "alert_rule": HOSTILE,
                "model": model,
                "incident_id": HOSTILE,
                "outcome": "ignored",
                "run_id": None,
                "detail": HOSTILE_LONG,
            }
        ],
        "deliveries": [
            {
                "alert_id": "hostile-1",
                "sink": "azure_monitor",
                "attempt": 1,
                "state": "failed",
                "at": now,
                "detail": HOSTILE_LONG,
            }
        ],
    }
    return {name: [*table, *more.get(name, [])] for name, table in rows.items()}


def _floor(moment: datetime) -> datetime:
    return moment - timedelta(seconds=moment.timestamp() % _WINDOW_S)


def _batch_id(told: Evening, moment: datetime) -> int:
    return _BASE + int((moment - told.start).total_seconds() // _BATCH_S)


def _steps(told: Evening, seconds: int) -> list[datetime]:
    first = _floor(told.start)
    count = int((told.now - first).total_seconds() // seconds)
    return [first + timedelta(seconds=seconds * i) for i in range(count)]


def _batches(told: Evening, rng: random.Random) -> list[dict[str, Any]]:
    rows, offset = [], 0
    for moment in _steps(told, _BATCH_S):
        received = rng.randint(_PER_SECOND * _BATCH_S - 8, _PER_SECOND * _BATCH_S + 8)
        batch_id = _batch_id(told, moment)
        dead = int(batch_id % 97 == 0)
        again = 2 * int(batch_id % 211 == 0)
        feedback = received // 3
        committed = moment + timedelta(seconds=1.4 + rng.random())
        rows.append(
            {
                "query_id": "0d8f4c1e",
                "batch_id": batch_id,
                "generation": 1,
                "offsets": [
                    {
                        "hub": "predictions",
                        "partition": "0",
                        "first": offset,
                        "last": offset + received - 1,
                        "count": received,
                        "last_enqueued": moment,
                    }
                ],
                "received": received,
                "stored": received - dead - again,
                "dead_letters": dead,
                "duplicates": again,
                "in_partials": received - dead - again,
                "feedback_received": feedback,
                "feedback_stored": feedback,
                "feedback_dead_letters": 0,
                "feedback_duplicates": 0,
                "matched": feedback,
                "unmatched": int(batch_id % 41 == 0),
                "started_at": moment,
                "committed_at": committed,
                "code_version": "0.1.0",
            }
        )
        offset += received
    return rows


def _profiles(told: Evening, rng: random.Random) -> list[dict[str, Any]]:
    rows = []
    for start in _steps(told, _WINDOW_S):
        n = rng.randint(_PER_SECOND * _WINDOW_S - 20, _PER_SECOND * _WINDOW_S + 20)
        labelled = n // 3 if start < told.now - timedelta(seconds=20) else 0
        right = 0.71 if told.drifts(start) and told.version(start) == "7" else 0.945
        rows.append(
            {
                "model": MODEL,
                "version": told.version(start),
                "segment": "*",
                "window_start": start,
                "window_s": _WINDOW_S,
                "grid": "g7",
                "batch_id": _batch_id(told, start),
                "kind": "live",
                "first_enqueued": start,
                "last_enqueued": min(told.now, start + timedelta(seconds=9.5)),
                "counts": {
                    "events": n,
                    "errors": int(rng.random() < 0.2),
                    "labelled": labelled,
                    "correct": round(labelled * right),
                },
                "numeric": {},
                "categorical": {},
            }
        )
    return rows


def _metrics(told: Evening, rng: random.Random) -> list[dict[str, Any]]:
    rows = []
    for seconds in (_WINDOW_S, 60, 3600):
        for start in _steps(told, seconds):
            n = _PER_SECOND * seconds + rng.randint(-seconds // 2, seconds // 2)
            base = {
                "model": MODEL,
                "version": told.version(start),
                "segment": "*",
                "window_start": start,
                "window_s": seconds,
                "revision": _batch_id(told, start),
                "batch_id": _batch_id(told, start),
            }
            rows += [r for column in COLUMNS for r in _drift(told, base, column, n, rng)]
            if seconds >= 60:
                rows.append(_accuracy(told, base, n // 3, rng))
    return rows


def _drift(told: Evening, base: dict[str, Any], column: str, n: int, rng: random.Random) -> list[dict[str, Any]]:
    moved = told.drifts(base["window_start"]) and base["version"] == "7"
    shift = COLUMNS[column][0] * rng.uniform(0.93, 1.07) if moved else 0.0
    noise = rng.gauss(0, 1.1) / n**0.5
    effect = max(0.0, shift + noise - (0.02 if not moved else 0))
    psi = effect**2 + 19 * rng.uniform(0.6, 1.4) / n
    shared = {
        **base,
        "column": column,
        "baseline_id": f"b{base['version']}",
        "n": n,
        "effect": effect,
        "p_value": 1e-12 if moved else rng.random(),
        "calibrated": False,
    }
    return [
        {**shared, "metric": "psi", "value": psi},
        {**shared, "metric": "jensen_shannon", "value": (psi / 8) ** 0.5},
    ]


def _accuracy(told: Evening, base: dict[str, Any], n: int, rng: random.Random) -> dict[str, Any]:
    right = 0.71 if told.drifts(base["window_start"]) and base["version"] == "7" else 0.945
    value = min(1.0, max(0.0, right + rng.gauss(0, 1) * (right * (1 - right) / n) ** 0.5))
    half = 1.96 * (value * (1 - value) / n) ** 0.5
    return {
        **base,
        "column": "",
        "metric": "accuracy",
        "baseline_id": "",
        "value": value,
        "n": n,
        "lower": max(0.0, value - half),
        "upper": min(1.0, value + half),
        "label_completeness": 0.333,
    }


def _blocks(told: Evening, rng: random.Random) -> list[dict[str, Any]]:
    rows = []
    for number, start in enumerate(_steps(told, _WINDOW_S)):
        moved = told.drifts(start) and told.version(start) == "7"
        verdicts = [
            {
                "column": column,
                "rang": moved,
                "calibrated": False,
                "lag": 1,
                "n": 140,
                "statistic": 40 * (6 * shift if moved else rng.uniform(0.05, 0.6)),
                "threshold": 40.0,
                "p_value": 1e-9 if moved else 0.4,
                "effect": shift if moved else 0.0,
                "direction": "location",
            }
            for column, (shift, _) in COLUMNS.items()
        ]
        rows.append(
            {
                "model": MODEL,
                "version": told.version(start),
                "segment": "*",
                "block_no": number,
                "batch_id": _batch_id(told, start),
                "first_batch_id": _batch_id(told, start) - 3,
                "last_batch_id": _batch_id(told, start),
                "n": 140,
                "last_enqueued": start + timedelta(seconds=9.5),
                "baseline_id": f"b{told.version(start)}",
                "grid": "g7",
                "verdicts": verdicts,
                "state": "{}",
            }
        )
    return rows


def _dead_letter(moment: datetime, offset: int) -> dict[str, Any]:
    return {
        "batch_id": _BASE + offset,
        "hub": "predictions",
        "partition": "0",
        "offset": offset,
        "enqueued_time": moment,
        "reason": "missing_field",
        "detail": "event_id",
        "sha256": "0" * 64,
        "body": HOSTILE,
    }


def _dead_letters(told: Evening) -> list[dict[str, Any]]:
    reasons = ("missing_field", "bad_value", "missing_field", "not_json_object")
    dead = [r["batch_id"] for r in _batches(told, random.Random(7)) if r["dead_letters"]]
    return [
        {
            **_dead_letter(told.start + timedelta(seconds=_BATCH_S * (batch_id - _BASE)), batch_id - _BASE),
            "reason": reasons[i % len(reasons)],
        }
        for i, batch_id in enumerate(dead)
    ]


def _baseline(version: str, at: datetime, n: int) -> dict[str, Any]:
    return {
        "baseline_id": f"b{version}",
        "model": MODEL,
        "version": version,
        "grid": "g7",
        "created_at": at,
        "source": "validation rows",
        "counts": {"events": n},
        "numeric": {},
        "categorical": {},
    }


def _alert(told: Evening, sequence: int, state: str, at: datetime, **changed: Any) -> dict[str, Any]:
    since = told.onset or at
    incident_id = changed.pop("incident_id", hashlib.sha256(str(since).encode()).hexdigest()[:16])
    return {
        "alert_id": f"{incident_id}-{sequence}",
        "incident_id": incident_id,
        "sequence": sequence,
        "state": state,
        "batch_id": _BASE + sequence,
        "rule": "drift",
        "model": MODEL,
        "version": "7",
        "segment": "*",
        "column": "known_word_share",
        "columns": ["known_word_share", "confidence", "output", "input_length"],
        "severity": 2,
        "action": "retrain",
        "value": 312.4,
        "threshold": 38.9,
        "effect": 1.24,
        "p_value": 3.1e-41,
        "n": 143,
        "calibrated": False,
        "baseline_id": "b7",
        "first_batch_id": _BASE,
        "last_batch_id": _BASE + 4,
        "since": since,
        "window_end": since + timedelta(seconds=20),
        "windows": [{"start": since, "window_s": 10}],
        "decided_time": at,
        "title": "Drift in assistant 7: known_word_share, confidence, output and input_length",
        "message": "4 columns of assistant 7 (all traffic) left the baseline b7: known_word_share, confidence, output, "
        "input_length. The loudest is known_word_share: its centre moved, by 1.24 baseline standard deviations over "
        f"n = 143 events (statistic 312.4, bound 38.9, p = 3.1e-41), since {since:%H:%M:%S} UTC. The bound is "
        "uncalibrated: the baseline is too young to know how much quiet blocks differ from each other.",
        "runbook": "drift.md",
        "policy_hash": "6f1c2ab0d9e84735",
        "code_version": "0.1.0",
        **changed,
    }


def _alerts(told: Evening) -> list[dict[str, Any]]:
    early = told.start + timedelta(minutes=told.minutes * 0.2)
    false = {
        "incident_id": "f41c09d27aa85e13",
        "since": early,
        "column": "input_length",
        "columns": ["input_length"],
        "effect": 0.21,
        "n": 131,
        "p_value": 2.0e-6,
    }
    rows = [
        _alert(told, 1, "opened", early + timedelta(seconds=14), **false, title="Drift in assistant 7: input_length"),
        _alert(
            told,
            2,
            "retracted",
            early + timedelta(seconds=41),
            **false,
            title="Drift in assistant 7 retracted",
            action="none",
        ),
    ]
    for sequence, (state, seconds) in enumerate((("opened", 13), ("confirmed", 34), ("resolved", 420)), 1):
        at = told.after(seconds)
        if at is not None:
            words = {"opened": "Drift in", "confirmed": "Drift confirmed in", "resolved": "Drift is over in"}[state]
            title = f"{words} {MODEL} 7: known_word_share, confidence, output, input_length"
            rows.append(_alert(told, sequence, state, at, title=title))
    return rows


def _deliveries(told: Evening) -> list[dict[str, Any]]:
    rows = []
    for alert in _alerts(told):
        for state, seconds in (("claimed", 1.0), ("sent", 1.6)):
            at = alert["decided_time"] + timedelta(seconds=seconds)
            if at <= told.now:
                rows.append(
                    {
                        "alert_id": alert["alert_id"],
                        "sink": "azure_monitor",
                        "attempt": 1,
                        "state": state,
                        "at": at,
                        "detail": "204, 1 record" if state == "sent" else None,
                    }
                )
    return rows


def _calls(told: Evening) -> list[dict[str, Any]]:
    at = told.after(38)
    incident_id = _alert(told, 1, "opened", told.now)["incident_id"]
    row = {
        "call_id": "c1",
        "received_at": at,
        "azure_alert_id": "/subscriptions/0/alerts/1",
        "condition": "Fired",
        "alert_rule": "pegel-retrain",
        "model": MODEL,
        "incident_id": incident_id,
        "outcome": "started",
        "run_id": "4711",
        "detail": "run 4711",
    }
    return [row] if at else []


def _retrainings(told: Evening) -> list[dict[str, Any]]:
    incident_id = _alert(told, 1, "opened", told.now)["incident_id"]
    rows = []
    steps = (("started", 40), ("trained", 150), ("promoted", 172), ("proving", 174), ("proven", 410))
    for state, seconds in steps:
        at = told.after(seconds)
        if at is None:
            continue
        trained = state != "started"
        rows.append(
            {
                "incident_id": incident_id,
                "attempt": 1,
                "state": state,
                "at": at,
                "model": MODEL,
                "champion": "7",
                "challenger": "8" if trained else None,
                "batch_id_max": _BASE + 100,
                "training_rows": 11820 if trained else None,
                "checksum": "ab" * 32 if trained else None,
                "champion_quality": 0.713 if trained else None,
                "challenger_quality": 0.948 if trained else None,
                "detail": None,
            }
        )
    return rows


def _promotions(told: Evening) -> list[dict[str, Any]]:
    first = {
        "model": MODEL,
        "expected_version": "",
        "new_version": "7",
        "at": told.start - timedelta(hours=3),
        "by": "build-baseline",
        "reason": "first",
    }
    second = {**first, "expected_version": "7", "new_version": "8", "at": told.promoted, "reason": "promoted"}
    second["by"] = f"incident {_alert(told, 1, 'opened', told.now)['incident_id']}"
    return [first, second] if told.promoted else [first]
