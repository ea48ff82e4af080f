"""Rows of the tables that training and proof read, made short."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pegel.tables.delta import DeltaTables

START = datetime(2026, 11, 25, 3, tzinfo=UTC)
Row = dict[str, Any]


@pytest.fixture
def start() -> datetime:
    return START


@pytest.fixture
def tables(tmp_path: Path) -> DeltaTables:
    return DeltaTables(str(tmp_path / "tables"))


@pytest.fixture
def prediction() -> Callable[..., Row]:
    def make(number: int, **change: Any) -> Row:
        row = {
            "event_id": f"e{number:04d}",
            "event_time": START + timedelta(seconds=number),
            "batch_id": number // 10,
            "model": "assistant",
            "version": "1",
            "input": f"text {number}",
            "output": "a",
            "hub": "predictions",
            "partition": "0",
            "offset": number,
            "enqueued_time": START + timedelta(seconds=number),
        }
        return row | change

    return make


@pytest.fixture
def label() -> Callable[..., Row]:
    def make(number: int, **change: Any) -> Row:
        row = {
            "feedback_id": f"f{number:04d}",
            "event_id": f"e{number:04d}",
            "prediction_time": START + timedelta(seconds=number),
            "feedback_time": START + timedelta(seconds=number + 20),
            "batch_id": number // 10 + 2,
            "kind": "label",
            "label": "a",
            "hub": "feedback",
            "partition": "0",
            "offset": number,
            "enqueued_time": START + timedelta(seconds=number + 20),
        }
        return row | change

    return make
