"""Makers of verdicts, facts and policies that the tests of incidents share."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pegel.schemas.policy import Action, Policy, Rule, RuleKind
from pegel.schemas.verdicts import BatchFacts, BlockVerdict, ColumnVerdict

START = datetime(2026, 3, 1, tzinfo=UTC)


def column_verdict(name: str, *, rang: bool, **change: Any) -> ColumnVerdict:
    values: dict[str, Any] = {
        "column": name,
        "rang": rang,
        "calibrated": False,
        "lag": 1,
        "n": 200,
        "statistic": 90.0 if rang else 4.0,
        "threshold": 30.0,
        "p_value": 1e-9 if rang else 0.4,
        "effect": 0.6 if rang else 0.01,
        "direction": "location",
    }
    return ColumnVerdict(**{**values, **change})


def block_verdict(batch_id: int, *columns: ColumnVerdict, **change: Any) -> BlockVerdict:
    start = START + timedelta(seconds=10 * batch_id)
    values: dict[str, Any] = {
        "model": "assistant",
        "version": "1",
        "segment": "*",
        "block_no": batch_id,
        "first_batch_id": batch_id,
        "last_batch_id": batch_id,
        "n": 200,
        "last_enqueued": start,
        "baseline_id": "base-1",
        "columns": columns,
        "windows": ((start - timedelta(seconds=10), 10), (start, 10)),
        "since": start - timedelta(seconds=10),
        "pooled_first_batch_id": max(0, batch_id - 1),
    }
    return BlockVerdict(**{**values, **change})


def batch_facts(batch_id: int, *, conserved: bool = True) -> BatchFacts:
    moment = START + timedelta(seconds=10 * batch_id)
    return BatchFacts(batch_id, moment, moment, moment, moment + timedelta(seconds=1), conserved)


def block_row(block: BlockVerdict, batch_id: int) -> dict[str, Any]:
    """The block as it comes back from the table ``blocks``."""
    return {
        "model": block.model,
        "version": block.version,
        "segment": block.segment,
        "block_no": block.block_no,
        "batch_id": batch_id,
        "first_batch_id": block.first_batch_id,
        "last_batch_id": block.last_batch_id,
        "n": block.n,
        "last_enqueued": block.last_enqueued,
        "baseline_id": block.baseline_id,
        "verdicts": [{name: getattr(c, name) for name in ColumnVerdict.__slots__} for c in block.columns],
    }


def alert_policy(**change: Any) -> Policy:
    values: dict[str, Any] = {
        "alerts_per_month": 1.0,
        "uncalibrated_may_retrain": True,
        "resolve_after_blocks": 3,
        "rules": (
            Rule("drift", RuleKind.DRIFT, "*", 0.1, 2, Action.RETRAIN, "drift.md"),
            Rule("conservation", RuleKind.CONSERVATION, "*", 0.0, 1, Action.PAGE, "conservation.md"),
        ),
    }
    return Policy(**{**values, **change})


@pytest.fixture(scope="session")
def verdict() -> Callable[..., ColumnVerdict]:
    return column_verdict


@pytest.fixture(scope="session")
def block() -> Callable[..., BlockVerdict]:
    return block_verdict


@pytest.fixture(scope="session")
def facts() -> Callable[..., BatchFacts]:
    return batch_facts


@pytest.fixture(scope="session")
def as_row() -> Callable[[BlockVerdict, int], dict[str, Any]]:
    return block_row


@pytest.fixture(scope="session")
def policy() -> Callable[..., Policy]:
    return alert_policy
