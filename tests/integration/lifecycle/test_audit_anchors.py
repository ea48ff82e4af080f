"""Anchors in MLflow: the newest head and the last one of each hour stay in the day's run, and are found again."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pegel.lifecycle.audit_anchors import Anchoring, read_anchors
from pegel.lifecycle.monitoring_run import MonitoringRuns
from pegel.schemas.audit import write_head
from pegel.tables.audit import AuditTrail
from pegel.tables.audit_heads import AuditHeads
from pegel.tables.delta import DeltaTables

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
SAID = dict.fromkeys(("actor", "action", "subject", "decision", "reason"), "x")


def test_the_last_head_of_each_hour_stays_and_is_found_again(settings_for: Callable[..., Any], tmp_path: Path) -> None:
    settings = settings_for("anchored model/ü", mlflow={"experiment": "anchors"})
    tables = DeltaTables(settings.storage.root)
    trail = AuditTrail(tables, "webhook", tmp_path)
    clock = [NOON]
    runs = MonitoringRuns(tables, settings)
    anchoring = Anchoring(runs, AuditHeads(tables, settings.audit.writers), 60, lambda: clock[0])
    assert read_anchors(settings) == {}
    assert not anchoring.advance()
    heads = []
    for minutes in (0, 1, 70, 12 * 60 + 1):
        clock[0] = NOON + timedelta(minutes=minutes)
        trail.record(**SAID, evidence={"minutes": minutes})
        heads.append(trail.head())
        assert anchoring.advance()
        assert not anchoring.advance()
    trail.close()
    found = read_anchors(settings)
    # The first one was overwritten within its hour; the last one is of another day and so in another run.
    assert {(anchor.sequence, anchor.hash) for anchor in found["webhook"]} == set(heads[1:])
    assert list(found) == ["webhook"]
    assert any("2026-11-28 (tag pegel.audit.webhook.00)" in anchor.source for anchor in found["webhook"])


def test_heads_are_not_kept_more_often_than_asked(settings_for: Callable[..., Any], tmp_path: Path) -> None:
    settings = settings_for("anchored seldom", mlflow={"experiment": "anchors seldom"})
    tables = DeltaTables(settings.storage.root)
    clock, kept = [NOON], []

    class Runs:
        def anchor(self, heads: dict[str, str], _now: datetime) -> None:
            kept.append(heads)

    trail = AuditTrail(tables, "serve", tmp_path)
    anchoring = Anchoring(Runs(), AuditHeads(tables, ["serve"]), 60, lambda: clock[0])  # type: ignore[arg-type]
    for seconds in range(0, 150, 10):
        clock[0] = NOON + timedelta(seconds=seconds)
        trail.record(**SAID, evidence={})
        anchoring.advance()
    trail.close()
    assert [heads["serve"].partition(":")[0] for heads in kept] == ["0", "6", "12"]
    assert kept[0]["serve"] != write_head(trail.head())
