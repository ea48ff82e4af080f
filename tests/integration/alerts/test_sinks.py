"""What the sink Azure Monitor does with each answer of the service, and the file of JSON Lines with a torn line."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from pegel.alerts.delivery.azure_monitor import AzureMonitorSink
from pegel.alerts.delivery.dispatcher import Dispatcher
from pegel.alerts.delivery.jsonl import JsonLinesSink
from pegel.alerts.delivery.outbox import Backoff
from pegel.alerts.delivery.sink import DeliveryError
from pegel.conf.delivery_settings import AzureMonitorSettings
from pegel.conf.secret_ref import SecretRef
from pegel.errors import SettingsError
from pegel.local.azure_monitor import Fault


def test_azure_portions_are_far_below_the_limit_and_not_needlessly_many(monitor, sink_settings, row):
    alerts = [row(n, message="x" * 4_000) for n in range(580)]
    sizes = [len(portion) for portion in AzureMonitorSink(sink_settings(monitor)).chunks(alerts)]
    assert sum(sizes) == 580
    assert len(sizes) == 3, "about 200 rows of 4.4 KB fit into 900 KB"


def test_jsonl_begins_a_new_line_after_one_that_was_torn(tmp_path, row):
    path = tmp_path / "alerts.jsonl"
    path.write_text('{"alert_id": "hal', encoding="utf-8")
    JsonLinesSink(str(path)).send([row(1)])
    assert json.loads(path.read_text(encoding="utf-8").splitlines()[1])["alert_id"] == row(1)["alert_id"]


@pytest.mark.parametrize(
    ("fault", "retry_after"),
    [
        (Fault(429), None),
        (Fault(429, retry_after="17"), 17.0),
        (Fault(429, retry_after="soon"), None),
        (Fault(503, retry_after="99999"), 3600.0),
        (Fault(500), None),
        (Fault(200), None),
    ],
)
def test_azure_sink_reports_the_answer_and_how_long_to_wait_after_a_single_call(
    monitor, sink_settings, row, fault, retry_after
):
    monitor.faults += [fault]
    with pytest.raises(DeliveryError, match=f"answered {fault.status}") as raised:
        AzureMonitorSink(sink_settings(monitor)).send([row(1)])
    assert (raised.value.retry_after_seconds, raised.value.content) == (retry_after, False)
    assert not monitor.faults
    assert monitor.received == [], "the SDK's own retries would have delivered it"


def test_azure_sink_understands_a_date_in_retry_after(monitor, sink_settings, row):
    monitor.faults += [Fault(429, retry_after=format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True))]
    with pytest.raises(DeliveryError) as raised:
        AzureMonitorSink(sink_settings(monitor)).send([row(1)])
    assert 50 < (raised.value.retry_after_seconds or 0) <= 60


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"token": SecretRef(env="TEST_WRONG_TOKEN")}, "403"),
        ({"rule_id": "dcr-unknown"}, "404"),
        ({"stream_name": "Custom-Other"}, "404"),
        ({"token": SecretRef(env="TEST_NO_SUCH_TOKEN")}, "TEST_NO_SUCH_TOKEN"),
        ({"ca_file": None}, "could not be reached"),
    ],
)
def test_azure_sink_says_what_is_wrong_with_its_settings(monitor, sink_settings, row, change, says):
    with pytest.raises(DeliveryError, match=says) as raised:
        AzureMonitorSink(sink_settings(monitor, **change)).send([row(1)])
    assert not raised.value.content
    assert "token-of-the-sender" not in str(raised.value)
    assert "somebody-else" not in str(raised.value)


def test_azure_sink_refuses_to_start_without_an_endpoint():
    with pytest.raises(SettingsError, match="rule_id"):
        AzureMonitorSink(AzureMonitorSettings(endpoint="https://x"))


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def test_alerts_of_the_table_arrive_at_least_once_through_all_faults(monitor, sink_settings, tables, row):
    tables.append("alerts", [row(n) for n in range(20)] + [row(n, "confirmed", 2) for n in range(20)])
    monitor.faults += [Fault(429), Fault(503, retry_after="9"), Fault(500), Fault(lost_answer=True), Fault(429)]
    clock = Clock()
    dispatcher = Dispatcher(tables, [AzureMonitorSink(sink_settings(monitor))], Backoff(60, 50), clock)
    steps = 0
    while dispatcher.step().waiting:
        clock.now += timedelta(seconds=10)
        steps += 1
        assert steps < 20
    wanted = {row(n, "x", s)["alert_id"] for n in range(20) for s in (1, 2)}
    ids = [r.row["alert_id"] for r in monitor.received]
    assert set(ids) == wanted
    assert len(ids) == 80, "the answer of one upload was lost, so it was made twice"
    deliveries = tables.read("deliveries")
    assert {r["alert_id"] for r in deliveries if r["state"] == "sent"} == wanted
    assert {r["state"] for r in deliveries} == {"claimed", "failed", "sent"}
    assert "503" in "".join(r["detail"] or "" for r in deliveries)
