"""What serving decides is in the real audit trail, in a chain that holds, without texts and keys."""

import hashlib
from pathlib import Path

from fastapi.testclient import TestClient

from pegel.conf.settings import Settings
from pegel.schemas.usage_policy import CallerRule, ContentRule, Risk, Side, UsagePolicy
from pegel.serving.app import create_app
from pegel.serving.champion import Champion
from pegel.serving.gate import Gate
from pegel.serving.producer import EventProducer
from pegel.serving.service import Serving
from pegel.serving.spool import Spool
from pegel.serving.usage import Credentials
from pegel.tables.audit import AuditTrail
from pegel.tables.delta import DeltaTables

KEY = "t" * 40


def test_every_refusal_is_a_row_with_its_reason_and_nothing_secret(tmp_path: Path) -> None:
    settings, tables = Settings(), DeltaTables(str(tmp_path / "tables"))
    champion = Champion(settings)
    champion.poll = lambda: False  # type: ignore[method-assign]
    policy = UsagePolicy(
        callers=(CallerRule("shop", ("*",), ("support",), 3),),
        purposes={"support": Risk.LOW},
        content=(ContentRule("weapons", ("make a bomb",), Side.INPUT, True, Risk.LOW, "No."),),
    )
    trail = AuditTrail(tables, "serve", tmp_path / "spool" / "audit")
    credentials = Credentials({hashlib.sha256(KEY.encode()).digest(): "shop"}, {}, {})
    gate = Gate(settings.model.name, policy=policy, credentials=credentials, trail=trail)
    producers = [
        EventProducer(hub, lambda _: None, Spool(tmp_path / "spool" / hub), flush_seconds=1, max_buffered_events=10)
        for hub in ("predictions", "feedback")
    ]
    trail.start()
    with TestClient(create_app(Serving(settings, champion, *producers, gate))) as client:
        client.post("/predict", json={"text": "zebra"}, headers={"X-API-Key": "wrong" * 8})
        for body in ({"text": "zebra"}, {"text": "zebra", "purpose": "scoring"}, {"zebra": 1}, {"text": "zebra"}):
            client.post("/predict", json=body, headers={"X-API-Key": KEY})
    trail.close()
    rows = sorted(tables.read("audit_events_serve"), key=lambda row: row["sequence"])
    assert [(row["actor"], row["decision"], row["reason"]) for row in rows] == [
        ("unknown", "refused", "unknown_key"),
        ("shop", "refused", "no_champion"),
        ("shop", "refused", "purpose_not_allowed"),
        ("shop", "refused", "not_a_request"),
        ("shop", "refused", "limit_of_caller"),
    ]
    assert [row["previous_hash"] for row in rows[1:]] == [row["hash"] for row in rows[:-1]]
    assert all(policy.hash in row["evidence"] for row in rows)
    for secret in ("zebra", KEY, "wrongwrong"):
        assert secret not in repr(rows)
