"""Alerts through an Azure Monitor that fails at three uploads of ten: none lost, none double after the rules' query."""

import sys
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from pegel.alerts.delivery.azure_monitor import AzureMonitorSink
from pegel.alerts.delivery.dispatcher import Dispatcher
from pegel.alerts.delivery.outbox import JITTER, Backoff
from pegel.local.azure_monitor import SeededFaults
from pegel.local.azure_monitor.faults import KINDS
from pegel.local.azure_monitor.kql import compile_query
from pegel.schemas.alert_stream import COLUMNS, TABLE

RATE = 0.3
PATIENCE_SECONDS = 1.0
FIRST_COPIES = f"{TABLE} | summarize arg_max(TimeGenerated, *) by alert_id"
"""What the shipped rules begin with."""


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def dispatch_all(dispatcher: Dispatcher, clock: Clock, most_steps: int) -> int:
    """Step until nothing waits."""
    for step in range(1, most_steps + 1):
        if dispatcher.step().waiting == 0:
            return step
        clock.now += timedelta(seconds=5)
    pytest.fail(f"alerts still wait after {most_steps} steps")


def incidents(row, first: int, count: int) -> list[dict]:
    """So many rows, two of each incident: opened and confirmed."""
    made = [
        (number, state)
        for number in range(first, first + count // 2)
        for state in enumerate(("opened", "confirmed"), 1)
    ]
    return [row(number, state, sequence, batch_id=first) for number, (sequence, state) in made]


@pytest.mark.parametrize(
    ("micro_batches", "alerts", "seed"),
    [(30, 10, 7), pytest.param(500, 20, 11, marks=pytest.mark.soak)],
)
def test_alerts_through_faults_are_neither_lost_nor_double_and_each_copy_is_explained(
    monitor, sink_settings, tables, row, capsys, micro_batches, alerts, seed
):
    clock = Clock()
    sink = AzureMonitorSink(sink_settings(monitor, timeout_seconds=PATIENCE_SECONDS))
    dispatcher = Dispatcher(tables, [sink], Backoff(60, 500, JITTER, "test"), clock)
    monitor.draw_fault = SeededFaults(seed, RATE, 2 * PATIENCE_SECONDS).draw
    wanted = []
    for number in range(micro_batches):
        made = incidents(row, number * alerts, alerts)
        wanted += made
        tables.append("alerts", made)
        dispatcher.step()
        clock.now += timedelta(seconds=5)
    dispatch_all(dispatcher, clock, 200)
    monitor.draw_fault = lambda: None

    ids = [received.row["alert_id"] for received in monitor.received]
    assert set(ids) == {alert["alert_id"] for alert in wanted}, "none is lost"
    left = [r["alert_id"] for r in compile_query(FIRST_COPIES, {TABLE: [*COLUMNS]}).run(monitor._rows)]
    assert Counter(left) == Counter({alert["alert_id"]: 1 for alert in wanted}), "none is double after the query"
    unanswered = sum(rows for rows, fault in monitor.uploads if fault is not None and fault.lost_answer)
    assert len(ids) - len(wanted) == unanswered, "rows came twice only where an answer was lost"
    _assert_every_kind_of_fault_met(monitor)
    _assert_order(ids, wanted)
    states = Counter((r["alert_id"], r["state"]) for r in tables.read("deliveries"))
    assert {r[0] for r in states if r[1] == "sent"} == set(ids)
    assert max(n for (_, state), n in states.items() if state == "sent") == 1
    assert not [r for r in states if r[1] == "dead"]
    faulty = sum(fault is not None for _, fault in monitor.uploads)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{len(wanted)} alerts, {len(monitor.uploads)} uploads, {faulty} of them with a fault: 0 lost, "
            f"{unanswered} rows sent twice, 0 double after the query\n"
        )


def _assert_every_kind_of_fault_met(monitor) -> None:
    met = {fault.kind for _, fault in monitor.uploads if fault is not None}
    assert met == set(KINDS)
    count = len(monitor.uploads)
    faulty = sum(fault is not None for _, fault in monitor.uploads)
    assert abs(faulty - RATE * count) < 4 * (RATE * (1 - RATE) * count) ** 0.5


def _assert_order(ids: list[str], wanted: list[dict]) -> None:
    """An incident is never heard to be confirmed before it was heard to have opened."""
    first = {alert_id: place for place, alert_id in reversed(list(enumerate(ids)))}
    opened = {a["incident_id"]: first[a["alert_id"]] for a in wanted if a["sequence"] == 1}
    assert all(opened[a["incident_id"]] < first[a["alert_id"]] for a in wanted if a["sequence"] == 2)
