"""The delivery job: its loop, its stop, and that MLflow can neither stop an alert nor slow one down."""

import json
import signal
import subprocess
import sys
import threading

import pytest

from pegel.alerts.delivery.dispatcher import Dispatcher
from pegel.alerts.delivery.jsonl import JsonLinesSink
from pegel.alerts.delivery.outbox import Backoff
from pegel.alerts.delivery.outgoing_webhook import WebhookSink
from pegel.errors import OutsideError
from pegel.jobs.deliver import deliver, deliver_once, main
from pegel.tables.delta import DeltaTables


@pytest.fixture
def sent(tmp_path):
    file = tmp_path / "alerts.jsonl"
    return lambda: [json.loads(line)["alert_id"] for line in file.read_text().splitlines()] if file.is_file() else []


@pytest.fixture
def dispatcher(tables, tmp_path):
    return Dispatcher(tables, [JsonLinesSink(str(tmp_path / "alerts.jsonl"))], Backoff(60, 5))


@pytest.fixture
def looping(dispatcher):
    """Runs the loop in a thread with a given tracker."""
    stop, threads = threading.Event(), []

    def _loop(track, *more: Dispatcher) -> None:
        threads.append(threading.Thread(target=deliver, args=([dispatcher, *more], track, 0.02, stop), daemon=True))
        threads[-1].start()

    yield _loop
    stop.set()
    for thread in threads:
        thread.join(15)
        assert not thread.is_alive()


def test_alerts_go_out_while_tracking_fails_at_every_turn(looping, tables, row, sent, wait):
    turns = []

    def _fail() -> None:
        turns.append(1)
        raise RuntimeError("the tracking server is away")

    looping(_fail)
    tables.append("alerts", [row(1)])
    wait(lambda: len(sent()) == 1, "the first alert is sent")
    seen = len(turns)
    wait(lambda: len(turns) > seen, "tracking is tried again")
    tables.append("alerts", [row(2)])
    wait(lambda: len(sent()) == 2, "the second alert is sent")


def test_alerts_go_out_while_tracking_hangs_and_it_is_not_begun_twice(looping, tables, row, sent, wait):
    answered, begun = threading.Event(), []

    def _hang() -> None:
        begun.append(1)
        answered.wait(10)

    looping(_hang)
    for n in (1, 2, 3):
        tables.append("alerts", [row(n)])
        wait(lambda n=n: len(sent()) == n, f"alert {n} is sent")
    assert begun == [1]
    answered.set()


def test_sink_that_hangs_keeps_no_alert_back_from_another(looping, tables, row, sent, wait, outgoing):
    answered, asked = threading.Event(), []

    class Hanging(WebhookSink):
        def send(self, alerts) -> str:
            asked.append(alerts)
            answered.wait(10)
            return "at last"

    looping(lambda: None, Dispatcher(DeltaTables(tables.root), [Hanging(outgoing())], Backoff(60, 5)))
    for n in (1, 2, 3):
        tables.append("alerts", [row(n)])
        wait(lambda n=n: len(sent()) == n, f"alert {n} is sent")
    assert len(asked) == 1
    answered.set()
    wait(lambda: len(asked) == 3, "the sink that answers again gets the others")


def test_loop_goes_on_after_the_storage_was_away(looping, tables, row, sent, wait, monkeypatch):
    tables.append("alerts", [row(1)])
    failures = []

    def _away(_name: str) -> int:
        failures.append(1)
        raise OutsideError("the storage is away")

    with monkeypatch.context() as broken:
        broken.setattr(tables, "version", _away)
        looping(lambda: None)
        wait(lambda: len(failures) > 2, "the storage was asked")
    wait(sent, "the alert is sent")


def test_available_now_sends_what_waits_and_says_what_it_could_not(dispatcher, tables, row, sent, tmp_path):
    tables.append("alerts", [row(1), row(2)])
    assert deliver_once([dispatcher], lambda: None) == 0
    assert len(sent()) == 2
    (tmp_path / "folder").mkdir()
    blocked = Dispatcher(tables, [JsonLinesSink(str(tmp_path / "folder"))], Backoff(60, 5))
    tables.append("alerts", [row(3)])
    with pytest.raises(OutsideError, match="1 alerts could not be sent"):
        deliver_once([blocked], lambda: None)


def test_available_now_sends_what_waits_though_the_stream_cannot_be_looked_after(dispatcher, tables, row, sent):
    def _away() -> None:
        raise OutsideError("the storage is away")

    tables.append("alerts", [row(1)])
    assert deliver_once([dispatcher], lambda: None, _away) == 0
    assert len(sent()) == 1


def test_settings_of_one_machine_need_nothing_beside_it(tables, row, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tables.append("alerts", [row(1)])
    assert main(["--config", "conf/local.yml", "--set", f"storage.root={tmp_path}/tables", "--available-now"]) == 0
    assert json.loads((tmp_path / ".pegel" / "alerts.jsonl").read_text())["alert_id"] == row(1)["alert_id"]


def started(tmp_path, **delivery):
    """The job as a process of its own, with its log in a file."""
    settings = {
        "storage.root": tmp_path / "tables",
        "mlflow.tracking_uri": f"sqlite:///{tmp_path}/mlflow.db",
        "delivery.poll_seconds": 0.1,
        **{f"delivery.{name.replace('__', '.')}": value for name, value in delivery.items()},
    }
    command = [sys.executable, "-m", "pegel.jobs.deliver"]
    command += [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    log = (tmp_path / "log").open("ab")
    return subprocess.Popen(command, stdout=log, stderr=log)


def test_job_that_is_killed_between_send_and_record_sends_again_under_the_same_id(
    receiver, outgoing, tables, row, tmp_path
):
    tables.append("alerts", [row(1)])
    webhook = {
        "sinks": "[webhook]",
        "webhook__url": receiver.url,
        "webhook__ca_file": receiver.ca_file,
        "webhook__secrets": "[{env: TEST_WEBHOOK_SECRET}]",
        "webhook__allowed_networks": json.dumps(outgoing().allowed_networks),
    }
    with started(tmp_path, **webhook) as job:
        receiver.on_call = job.kill
        assert job.wait(60) == -signal.SIGKILL, (tmp_path / "log").read_text()
    receiver.on_call = lambda: None
    assert [r["state"] for r in tables.read("deliveries")] == ["claimed"]
    assert Dispatcher(tables, [WebhookSink(outgoing())], Backoff(60, 5)).step().sent == 1
    assert [headers["webhook-id"] for headers, _ in receiver.calls] == [row(1)["alert_id"]] * 2
    steps = sorted((r["attempt"], r["state"]) for r in tables.read("deliveries"))
    assert steps == [(1, "claimed"), (2, "claimed"), (2, "sent")]


def test_job_delivers_until_sigterm_and_ends_with_0(tables, row, sent, tmp_path, wait):
    tables.append("alerts", [row(1)])
    with started(tmp_path, sinks="[jsonl]", jsonl_path=tmp_path / "alerts.jsonl") as job:
        wait(lambda: sent() or job.poll() is not None, "the alert is sent", 60)
        job.send_signal(signal.SIGTERM)
        code = job.wait(30)
    assert (sent(), code) == ([row(1)["alert_id"]], 0), (tmp_path / "log").read_text()
