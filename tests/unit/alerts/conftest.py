"""Makers of verdicts, facts and policies that the tests of incidents share."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pegel.schemas.policy import Action, Policy, Rule, RuleKind
from pegel.schemas.verdicts import BatchFacts, BlockVerdict, ColumnVerdict, RateVerdict

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


def rate_verdict(*, rang: bool, **change: Any) -> RateVerdict:
    values: dict[str, Any] = {
        "column": "error_rate",
        "rang": rang,
        "calibrated": True,
        "lag": 3,
        "n": 600,
        "hits": 60 if rang else 3,
        "statistic": 40.0 if rang else 0.4,
        "threshold": 16.0,
        "p_value": 1e-30 if rang else 0.7,
        "effect": 0.51 if rang else 0.0,
        "lower": 0.078,
        "upper": 0.127,
        "baseline_n": 3000,
        "baseline_hits": 15,
        "bound": 0.011,
        "since": START if rang else None,
        "windows": ((START, 10), (START + timedelta(seconds=10), 10)) if rang else (),
        "pooled_first_batch_id": 0,
    }
    return RateVerdict(**{**values, **change})


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
        "rates": [{n: getattr(r, n) for n in RateVerdict.__slots__ if n != "windows"} for r in block.rates],
    }


def alert_policy(**change: Any) -> Policy:
    values: dict[str, Any] = {
        "alerts_per_month": 1.0,
        "uncalibrated_may_retrain": True,
        "resolve_after_blocks": 3,
        "rules": (
            Rule("drift", RuleKind.DRIFT, "*", 0.1, 2, Action.RETRAIN, "drift.md"),
            Rule("errors", RuleKind.RATE, ("error_rate",), 0.2, 1, Action.PAGE, "errors.md"),
            Rule("conservation", RuleKind.CONSERVATION, "*", 0.0, 1, Action.PAGE, "conservation.md"),
        ),
    }
    return Policy(**{**values, **change})


@pytest.fixture(scope="session")
def verdict() -> Callable[..., ColumnVerdict]:
    return column_verdict


@pytest.fixture(scope="session")
def rate() -> Callable[..., RateVerdict]:
    return rate_verdict


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
