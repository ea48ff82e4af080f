"""What every sink keeps: alerts under their own ids, in the order of their incident, again until taken or refused."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from equipment.webhook_receiver import WebhookReceiver

from pegel.alerts.delivery.azure_monitor import AzureMonitorSink
from pegel.alerts.delivery.dispatcher import Dispatcher
from pegel.alerts.delivery.jsonl import JsonLinesSink
from pegel.alerts.delivery.outbox import Backoff
from pegel.alerts.delivery.outgoing_webhook import WebhookSink
from pegel.alerts.delivery.sink import DeliveryError, Sink
from pegel.local.azure_monitor import Fault
from pegel.local.azure_monitor.server import Answer

Alerts = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """A sink and what is behind it.

    Attributes:
        make: the sink, as each process makes its own.
        received: every alert that arrived, copies included.
        away: what is behind it takes nothing for a while.
        lose_answer: the next alerts arrive, and the sink does not learn of it.
        refuse: lets the sink refuse one alert for what is in it; None if it refuses nothing.
    """

    make: Callable[[], Sink]
    received: Callable[[], Alerts]
    away: Callable[[], AbstractContextManager[None]]
    lose_answer: Callable[[], None]
    refuse: Callable[[str], Sink] | None


@pytest.fixture
def azure_case(monitor, sink_settings):
    @contextmanager
    def _away() -> Iterator[None]:
        monitor.draw_fault = lambda: Fault(503)
        yield
        monitor.draw_fault = lambda: None

    return Case(
        lambda: AzureMonitorSink(sink_settings(monitor)),
        lambda: [dict(r.row) for r in monitor.received],
        _away,
        lambda: monitor.faults.append(Fault(lost_answer=True)),
        lambda alert_id: _Spoiling(sink_settings(monitor), alert_id),
    )


class _Spoiling(AzureMonitorSink):
    """Spoils one alert on its way, as a column of a newer version would."""

    def __init__(self, settings, spoiled: str) -> None:
        super().__init__(settings)
        self._spoiled = spoiled

    def send(self, alerts):
        return super().send([{**a, "n": "many"} if a["alert_id"] == self._spoiled else a for a in alerts])


@pytest.fixture
def webhook_case(receiver: WebhookReceiver, outgoing):
    @contextmanager
    def _away() -> Iterator[None]:
        receiver.away = True
        yield
        receiver.away = False

    def _refuse(alert_id: str) -> Sink:
        receiver.refused.add(alert_id)
        return WebhookSink(outgoing())

    return Case(
        lambda: WebhookSink(outgoing()),
        lambda: receiver.rows,
        _away,
        lambda: receiver.answers.append(Answer(0, dropped=True)),
        _refuse,
    )


@pytest.fixture
def jsonl_case(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "alerts.jsonl"

    def _received() -> Alerts:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []

    @contextmanager
    def _away() -> Iterator[None]:
        aside = path.with_name("aside")
        if path.exists():
            path.rename(aside)
        path.mkdir(parents=True)
        yield
        path.rmdir()
        if aside.exists():
            aside.rename(path)

    def _lose_answer() -> None:
        def _fail(_file: int) -> None:
            monkeypatch.undo()
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "fsync", _fail)

    return Case(lambda: JsonLinesSink(str(path)), _received, _away, _lose_answer, None)


@pytest.fixture(params=["azure_case", "webhook_case", "jsonl_case"])
def case(request):
    return request.getfixturevalue(request.param)


def ids(alerts: Alerts) -> list[str]:
    return [alert["alert_id"] for alert in alerts]


def send_all(sink: Sink, alerts: Alerts) -> list[str]:
    return [sink.send(portion) for portion in sink.chunks(alerts)]


def test_sink_takes_every_alert_in_order_with_its_own_id(case, row):
    alerts = [row(n) for n in range(5)]
    receipts = send_all(case.make(), alerts)
    assert ids(case.received()) == ids(alerts)
    assert all(receipts)


def test_sink_takes_the_same_alert_twice_under_the_same_id(case, row):
    for _ in range(2):
        case.make().send([row(1)])
    assert ids(case.received()) == [row(1)["alert_id"]] * 2


def test_sink_sends_no_number_that_json_does_not_have(case, row):
    case.make().send([row(1, p_value=float("nan"), value=float("inf"), since=None, effect=None)])
    [received] = case.received()
    assert (received["p_value"], received["value"], received["since"], received["effect"]) == (None,) * 4


def test_sink_sends_times_with_their_zone(case, row):
    case.make().send([row(1)])
    assert case.received()[0]["TimeGenerated"] == case.received()[0]["decided_time"] == "2026-03-01T00:00:01Z"


def test_sink_cuts_into_portions_and_leaves_none_out(case, row):
    wide = "\N{GRINNING FACE}" * 4_000
    alerts = [row(n, message=wide, title=wide, version=wide, segment=wide) for n in range(40)]
    sink = case.make()
    portions = list(sink.chunks(alerts))
    assert [a for portion in portions for a in portion] == alerts
    for portion in portions:
        sink.send(portion)
    assert ids(case.received()) == ids(alerts)
    assert list(sink.chunks([])) == []


def test_sink_keeps_text_that_cannot_be_written_as_utf8_out(case, row):
    case.make().send([row(1, message="half \ud800 a pair")])
    assert case.received()[0]["message"] == "half ? a pair"


def test_sink_says_when_it_could_not_deliver(case, row):
    with case.away(), pytest.raises(DeliveryError) as raised:
        case.make().send([row(1)])
    assert not raised.value.content
    assert case.received() == []


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 0, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def dispatch(tables, clock):
    return lambda sink: Dispatcher(tables, [sink], Backoff(60, 9), clock)


def states(tables) -> Counter:
    return Counter((r["alert_id"], r["state"]) for r in tables.read("deliveries"))


def test_failure_is_tried_again_until_each_alert_has_arrived_once_in_the_order_of_its_incident(
    case, dispatch, tables, clock, row
):
    opened = [row(n) for n in (1, 2)]
    confirmed = [row(n, "confirmed", 2, batch_id=3) for n in (1, 2)]
    tables.append("alerts", opened)
    dispatcher = dispatch(case.make())
    with case.away():
        assert dispatcher.step().failed > 0
        tables.append("alerts", confirmed)
        clock.now += timedelta(seconds=2)
        assert dispatcher.step().failed > 0
    clock.now += timedelta(seconds=60)
    assert dispatcher.step().waiting == 0
    got = ids(case.received())
    assert sorted(got) == sorted(ids(opened + confirmed))
    for n in (1, 2):
        mine = [row(n, "x", sequence)["alert_id"] for sequence in (1, 2)]
        assert [a for a in got if a in mine] == mine
    assert all(states(tables)[alert_id, "sent"] == 1 for alert_id in got)


def test_answer_that_was_lost_makes_a_copy_under_the_same_id_and_one_receipt(case, dispatch, tables, clock, row):
    tables.append("alerts", [row(1)])
    dispatcher = dispatch(case.make())
    case.lose_answer()
    assert dispatcher.step().failed == 1
    clock.now += timedelta(seconds=60)
    assert dispatcher.step().sent == 1
    assert ids(case.received()) == [row(1)["alert_id"]] * 2
    assert states(tables)[row(1)["alert_id"], "sent"] == 1


def test_who_takes_over_after_a_kill_between_send_and_record_sends_again_under_the_same_id(
    case, dispatch, tables, row, monkeypatch
):
    tables.append("alerts", [row(1), row(2)])
    append = tables.append

    class Killed(BaseException):
        pass

    def _die(name: str, rows: Alerts, *rest: Any) -> bool:
        if any(r["state"] == "sent" for r in rows):
            raise Killed
        return append(name, rows, *rest)

    with monkeypatch.context() as dying:
        dying.setattr(tables, "append", _die)
        with pytest.raises(Killed):
            dispatch(case.make()).step()
    before = ids(case.received())
    assert before
    assert {state for _, state in states(tables)} == {"claimed"}
    done = dispatch(case.make()).step()
    assert (done.sent, done.waiting) == (2, 0)
    assert ids(case.received()) == before + ids([row(1), row(2)])
    assert {n for (_, state), n in states(tables).items() if state == "sent"} == {1}


@pytest.mark.parametrize("case", ["azure_case", "webhook_case"], indirect=True)
def test_refusal_is_given_up_at_once_with_its_reason_and_holds_up_no_other_alert(case, dispatch, tables, row):
    assert case.refuse is not None
    alerts = [row(n) for n in range(6)] + [row(3, "confirmed", 2, batch_id=9)]
    tables.append("alerts", alerts)
    spoiled = row(3)["alert_id"]
    done = dispatch(case.refuse(spoiled)).step()
    assert (done.sent, done.failed, done.dead, done.waiting) == (6, 0, 1, 0)
    wanted = ids(sorted(alerts, key=lambda alert: alert["batch_id"]))
    wanted.remove(spoiled)
    assert ids(case.received()) == wanted
    [dead] = [r for r in tables.read("deliveries") if r["state"] == "dead"]
    assert (dead["alert_id"], dead["attempt"]) == (spoiled, 1)
    assert "answered 4" in dead["detail"]
