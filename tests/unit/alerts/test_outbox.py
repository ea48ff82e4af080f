from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pegel.alerts.delivery.dispatcher import Dispatcher
from pegel.alerts.delivery.outbox import Backoff, Outbox
from pegel.alerts.delivery.sink import DeliveryError
from pegel.errors import OutsideError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def alert(n: int, batch_id: int = 1, incident: str = "i") -> dict[str, Any]:
    return {
        "alert_id": f"a{n}", "incident_id": incident, "sequence": n, "batch_id": batch_id, "state": "opened",
    }  # fmt: skip


class MemoryTables:
    """The two tables of the dispatcher, in memory; ``crash_on`` fails the append of that number."""

    def __init__(self, alerts: list[dict[str, Any]]) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {
            "alerts": alerts,
            "pipeline_alerts": [],
            "silences": [],
            "deliveries": [],
        }
        self.reads: Counter[str] = Counter()
        self.appends = 0
        self.crash_on: int | None = None

    def version(self, name: str) -> int:
        return len(self.rows[name]) - 1

    def read(self, name: str, sql: str = "") -> list[dict[str, Any]]:
        self.reads[name] += 1
        lowest = int(sql.rsplit(">=", 1)[1]) if ">=" in sql else -1
        return [row for row in self.rows[name] if row.get("batch_id", 0) >= lowest]

    def append(self, name: str, rows: list[dict[str, Any]]) -> bool:
        self.appends += 1
        if self.appends == self.crash_on:
            raise OutsideError("the storage is away")
        self.rows[name] += rows
        return bool(rows)


class ScriptedSink:
    """Takes alerts, or fails as the script says: None takes, an error is raised (``after`` it was stored, if asked)."""

    name = "scripted"
    forgets = False

    def __init__(self, *script: DeliveryError | str | None, portion: int = 3) -> None:
        self.script = list(script)
        self.portion = portion
        self.received: list[str] = []
        self.calls: list[list[str]] = []
        self.poison: set[str] = set()

    def chunks(self, alerts):
        for start in range(0, len(alerts), self.portion):
            yield list(alerts[start : start + self.portion])

    def send(self, alerts) -> str:
        ids = [a["alert_id"] for a in alerts]
        self.calls.append(ids)
        step = self.script.pop(0) if self.script else None
        if isinstance(step, DeliveryError):
            raise step
        if self.poison & set(ids):
            raise DeliveryError("400", content=True)
        self.received += ids
        if step == "answer lost":
            raise DeliveryError("connection closed")
        return f"took {len(ids)}"


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def dispatcher(tables, sink, clock, *, max_attempts: int = 5, cap: float = 60.0) -> Dispatcher:
    return Dispatcher(tables, [sink], Backoff(cap, max_attempts), clock)


def delivered(tables: MemoryTables) -> list[tuple[str, int, str]]:
    return [(row["alert_id"], row["attempt"], row["state"]) for row in tables.rows["deliveries"]]


def test_dispatcher_claims_before_it_sends_and_keeps_the_receipt():
    tables, clock = MemoryTables([alert(1)]), Clock()

    class Checking(ScriptedSink):
        def send(self, alerts):
            assert delivered(tables) == [("a1", 1, "claimed")]
            return super().send(alerts)

    done = dispatcher(tables, Checking(), clock).step()
    assert (done.sent, done.failed, done.dead, done.waiting) == (1, 0, 0, 0)
    assert delivered(tables) == [("a1", 1, "claimed"), ("a1", 1, "sent")]
    assert tables.rows["deliveries"][-1]["detail"] == "took 1"


def test_dispatcher_sends_in_the_order_of_batch_incident_and_sequence():
    tables = MemoryTables([alert(3, 9), alert(2, 5), alert(1, 5)])
    sink = ScriptedSink()
    dispatcher(tables, sink, Clock()).step()
    assert sink.received == ["a1", "a2", "a3"]


def test_dispatcher_reads_alerts_only_when_the_table_moved():
    tables, sink, clock = MemoryTables([alert(1)]), ScriptedSink(), Clock()
    dispatch = dispatcher(tables, sink, clock)
    for _ in range(5):
        dispatch.step()
    assert (tables.reads["alerts"], tables.reads["deliveries"]) == (1, 1)
    tables.rows["alerts"] += [alert(2, 2), alert(3, 2)]
    dispatch.step()
    dispatch.step()
    assert sink.received == ["a1", "a2", "a3"]
    assert tables.reads["alerts"] == 2


def test_dispatcher_waits_one_two_four_seconds_up_to_the_cap_and_gives_up_after_the_last_attempt():
    tables, clock = MemoryTables([alert(1)]), Clock()
    sink = ScriptedSink(*[DeliveryError("500")] * 9)
    dispatch = dispatcher(tables, sink, clock, max_attempts=5, cap=3.0)
    times = []
    for _ in range(100):
        before = len(sink.calls)
        dispatch.step()
        if len(sink.calls) > before:
            times.append((clock.now - NOON).total_seconds())
        clock.forward(0.5)
    assert times == [0.0, 1.0, 3.0, 6.0, 9.0]
    assert delivered(tables)[-2:] == [("a1", 5, "claimed"), ("a1", 5, "dead")]


def test_dispatcher_honours_a_longer_retry_after_and_leaves_the_sink_alone_meanwhile():
    tables, clock = MemoryTables([alert(n) for n in range(1, 7)]), Clock()
    sink = ScriptedSink(DeliveryError("429", 30.0))
    dispatch = dispatcher(tables, sink, clock)
    dispatch.step()
    assert sink.calls == [["a1", "a2", "a3"]], "the second portion would have met the same answer"
    clock.forward(29.9)
    dispatch.step()
    assert len(sink.calls) == 1
    clock.forward(0.1)
    assert dispatch.step().sent == 6


def test_dispatcher_keeps_to_the_schedule_where_retry_after_is_shorter():
    tables, clock = MemoryTables([alert(1)]), Clock()
    sink = ScriptedSink(DeliveryError("429", 0.0))
    dispatch = dispatcher(tables, sink, clock)
    dispatch.step()
    clock.forward(0.9)
    assert dispatch.step().sent == 0
    clock.forward(0.1)
    assert dispatch.step().sent == 1


def test_dispatcher_finds_the_one_alert_that_spoils_a_portion_and_sends_the_others():
    tables, clock = MemoryTables([alert(n) for n in range(1, 8)]), Clock()
    sink = ScriptedSink(portion=7)
    sink.poison = {"a4"}
    done = dispatcher(tables, sink, clock).step()
    assert (done.sent, done.failed, done.dead, done.waiting) == (6, 0, 1, 0)
    assert sink.received == ["a1", "a2", "a3", "a5", "a6", "a7"]
    assert [step for step in delivered(tables) if step[2] == "dead"] == [("a4", 1, "dead")]


def test_dispatcher_tries_nothing_of_a_portion_after_the_sink_went_away_amid_it():
    tables, clock = MemoryTables([alert(n) for n in range(1, 5)]), Clock()
    sink = ScriptedSink(DeliveryError("400", content=True), DeliveryError("gone"), portion=4)
    done = dispatcher(tables, sink, clock).step()
    assert sink.calls == [["a1", "a2", "a3", "a4"], ["a1", "a2"]], "a3 and a4 would overtake the first two"
    assert (done.failed, done.waiting) == (4, 4)


def test_row_of_an_incident_waits_for_the_earlier_ones_and_for_no_other_incident():
    outbox = Outbox("s", Backoff(60, 5))
    outbox.add([alert(1), alert(2, 2), alert(3, 2, "other")])
    outbox.claim([alert(1)], NOON)
    outbox.failed([alert(1)], NOON, "500")
    assert [a["alert_id"] for a in outbox.due(NOON)] == ["a3"]
    assert [a["alert_id"] for a in outbox.due(NOON + timedelta(seconds=1))] == ["a1", "a2", "a3"]


@given(st.floats(1, 600), st.floats(0, 1), st.text(max_size=8), st.integers(1, 2000))
def test_wait_lies_between_the_schedule_and_what_jitter_may_take_off_and_is_the_same_again(cap, jitter, seed, attempt):
    plain, spread = Backoff(cap, 9), Backoff(cap, 9, jitter, seed)
    wait = spread.delay_seconds(attempt)
    assert (1 - jitter) * plain.delay_seconds(attempt) <= wait <= plain.delay_seconds(attempt) <= cap
    assert wait == Backoff(cap, 9, jitter, seed).delay_seconds(attempt)


def test_waits_of_many_installations_are_spread_over_what_jitter_may_take_off():
    waits = [Backoff(60, 9, 0.5, f"abfss://tables-{n}").delay_seconds(9) for n in range(400)]
    counts = Counter(int((wait - 30) / 7.5) for wait in waits)
    assert set(counts) == {0, 1, 2, 3}
    assert min(counts.values()) > 60, "a quarter each, give or take"


def test_dispatcher_sends_again_what_was_claimed_by_one_that_died():
    tables, clock = MemoryTables([alert(1)]), Clock()
    tables.crash_on = 2
    with pytest.raises(OutsideError):
        dispatcher(tables, ScriptedSink(), clock).step()
    assert delivered(tables) == [("a1", 1, "claimed")]
    tables.crash_on = None
    sink = ScriptedSink()
    dispatcher(tables, sink, clock).step()
    assert sink.received == ["a1"]
    assert delivered(tables)[1:] == [("a1", 2, "claimed"), ("a1", 2, "sent")]


def test_dispatcher_begins_from_the_tables_again_after_the_storage_was_away():
    tables, sink, clock = MemoryTables([alert(1), alert(2, 2)]), ScriptedSink(portion=1), Clock()
    dispatch = dispatcher(tables, sink, clock)
    tables.crash_on = 4
    with pytest.raises(OutsideError):
        dispatch.step()
    assert dispatch.step().sent == 1
    assert sink.received == ["a1", "a2", "a2"]


def test_dispatcher_that_is_restarted_still_waits_for_the_next_attempt():
    tables, clock = MemoryTables([alert(1)]), Clock()
    failing = [DeliveryError("500")] * 3
    dispatch = dispatcher(tables, ScriptedSink(*failing), clock)
    for _ in range(3):
        dispatch.step()
        clock.forward(10)
    last = tables.rows["deliveries"][-1]
    assert (last["attempt"], last["state"]) == (3, "failed")
    clock.now = last["at"] + timedelta(seconds=3.9)
    sink = ScriptedSink()
    restarted = dispatcher(tables, sink, clock)
    assert restarted.step().sent == 0
    clock.forward(0.1)
    assert restarted.step().sent == 1
    assert delivered(tables)[-1] == ("a1", 4, "sent")


def test_dispatcher_told_to_send_what_is_there_does_not_wait():
    tables, clock = MemoryTables([alert(1)]), Clock()
    sink = ScriptedSink(DeliveryError("429", 600.0))
    dispatch = dispatcher(tables, sink, clock)
    dispatch.step()
    assert dispatch.step(ignore_backoff=True).sent == 1


def test_outbox_of_one_sink_does_not_mind_what_another_took():
    outbox = Outbox("jsonl", Backoff(60, 5))
    outbox.add([alert(1)])
    outbox.recall([{"alert_id": "a1", "sink": "azure_monitor", "attempt": 1, "state": "sent", "at": NOON}])
    assert [a["alert_id"] for a in outbox.due(NOON)] == ["a1"]


_STEPS = st.lists(
    st.tuples(st.sampled_from(["ok", "fail", "lost", "wait", "restart", "crash", "more"]), st.integers(0, 6)),
    max_size=25,
)


@settings(max_examples=120)
@given(_STEPS)
def test_every_alert_arrives_at_least_once_whatever_happens(steps):
    tables, clock = MemoryTables([alert(1)]), Clock()
    sink = ScriptedSink()
    dispatch = dispatcher(tables, sink, clock, max_attempts=10_000, cap=8.0)
    made = 1
    for what, number in steps:
        sink.script = {"fail": [DeliveryError("500")], "lost": ["answer lost"]}.get(what, [])
        if what == "more":
            tables.rows["alerts"] += [alert(made + n, made, f"i{n % 3}") for n in range(1, number + 1)]
            made += number
        elif what == "wait":
            clock.forward(number)
        elif what == "restart":
            dispatch = dispatcher(tables, sink, clock, max_attempts=10_000, cap=8.0)
        tables.crash_on = tables.appends + 1 + number % 3 if what == "crash" else None
        try:
            dispatch.step()
        except OutsideError:
            dispatch = dispatcher(tables, sink, clock, max_attempts=10_000, cap=8.0)
    sink.script, tables.crash_on = [], None
    clock.forward(100)
    dispatch.step()
    assert set(sink.received) == {f"a{n}" for n in range(1, made + 1)}
    for incident in {a["incident_id"] for a in tables.rows["alerts"]}:
        mine = [a["alert_id"] for a in tables.rows["alerts"] if a["incident_id"] == incident]
        assert [a for a in dict.fromkeys(sink.received) if a in mine] == mine, "each first arrives after the one before"
    sent = Counter(row["alert_id"] for row in tables.rows["deliveries"] if row["state"] == "sent")
    assert sent == Counter({f"a{n}": 1 for n in range(1, made + 1)}), "one receipt each, however many copies"
    keys = [(row["alert_id"], row["sink"], row["attempt"], row["state"]) for row in tables.rows["deliveries"]]
    assert len(keys) == len(set(keys))


def test_whatever_a_sink_raises_is_a_failed_attempt_that_waits_and_ends():
    tables, clock = MemoryTables([alert(1)]), Clock()

    class Broken(ScriptedSink):
        def send(self, alerts):
            raise UnicodeError(f"label too long for {len(alerts)} alerts")

    sending = dispatcher(tables, Broken(), clock, max_attempts=2)
    sending.step()
    sending.step()
    assert delivered(tables) == [("a1", 1, "claimed"), ("a1", 1, "failed")]
    clock.forward(60)
    sending.step()
    assert delivered(tables)[2:] == [("a1", 2, "claimed"), ("a1", 2, "dead")]
    assert "label too long" in tables.rows["deliveries"][-1]["detail"]


def test_what_is_inhibited_is_on_record_as_withheld_and_never_sent():
    tables = MemoryTables([alert(1) | {"inhibited_by": "sick"}, alert(2, incident="j")])
    sink = ScriptedSink()
    for hours in (0, 1, 5, 9):
        Dispatcher(tables, [sink], Backoff(60, 5), lambda hours=hours: NOON + timedelta(hours=hours)).step()
    assert sink.received == ["a2"]
    rows = [row for row in tables.rows["deliveries"] if row["alert_id"] == "a1"]
    assert [(row["state"], row["attempt"], row["detail"]) for row in rows] == [
        ("withheld", 0, "the pipeline was sick, see incident sick")
    ]


def test_what_a_person_asked_for_again_has_all_its_attempts_before_it_and_may_be_given_up_again():
    tables, clock = MemoryTables([alert(1)]), Clock()
    sink = ScriptedSink(*[DeliveryError("500")] * 9)
    for asked in (False, True):
        if asked:
            clock.forward(100)
            again = {"alert_id": "a1", "sink": "scripted", "attempt": 2, "state": "again", "at": clock.now}
            tables.append("deliveries", [again])
        for _ in range(20):
            dispatcher(tables, sink, clock, max_attempts=2).step()
            clock.forward(2)
    assert delivered(tables) == [
        ("a1", 1, "claimed"), ("a1", 1, "failed"), ("a1", 2, "claimed"), ("a1", 2, "dead"), ("a1", 2, "again"),
        ("a1", 3, "claimed"), ("a1", 3, "failed"), ("a1", 4, "claimed"), ("a1", 4, "dead"),
    ]  # fmt: skip


SILENCE = {"silence_id": "s", "wish": "silence", "at": NOON, "until": NOON + timedelta(hours=1), "model": "*"} | {
    "rule": "*", "by": "Ada", "reason": "night", "incident_id": None,
}  # fmt: skip


def test_table_of_silences_that_cannot_be_read_keeps_no_alert_back_and_what_was_known_still_holds(caplog):
    tables, clock, sink = MemoryTables([labelled(1, "quiet")]), Clock(), ScriptedSink()
    tables.rows["silences"] = [SILENCE | {"model": "quiet"}]
    sending = dispatcher(tables, sink, clock)
    sending.step()
    tables.version, healthy = away_for("silences", tables.version), tables.version
    tables.rows["alerts"] += [labelled(2, "quiet", 2), labelled(3, "loud", 2)]
    for _ in range(3):
        sending.step()
    assert sink.received == ["a3"]
    assert len([r for r in caplog.records if "the table silences cannot be read" in r.message]) == 1
    assert Dispatcher(tables, [ScriptedSink()], Backoff(60, 5), clock).step().sent == 2, "without a silence known"
    tables.version = healthy
    sending.step()
    assert sink.received == ["a3"]


@pytest.mark.parametrize(
    "odd",
    [{name: None} for name in ("until", "model", "rule", "by", "at", "silence_id")]
    + [{"until": NOON.replace(tzinfo=None)}, {"wish": "acknowledge"}, {"wish": "acknowledge", "at": None}],
)
def test_odd_row_of_silences_silences_nothing_and_the_others_still_do(odd):
    tables, sink = MemoryTables([labelled(1, "quiet"), labelled(2, "loud")]), ScriptedSink()
    tables.rows["silences"] = [SILENCE | odd, SILENCE | {"silence_id": "t", "model": "quiet"}]
    dispatcher(tables, sink, Clock()).step()
    assert sink.received == ["a2"]


def test_no_silence_outlasts_a_month_whatever_the_table_says():
    tables, sink, clock = MemoryTables([labelled(1, "quiet")]), ScriptedSink(), Clock()
    tables.rows["silences"] = [SILENCE | {"until": datetime.max.replace(tzinfo=UTC)}]
    sending = dispatcher(tables, sink, clock)
    for days, received in ((29.9, []), (0.2, ["a1"])):
        clock.forward(days * 86_400)
        sending.step()
        assert sink.received == received


def labelled(n: int, model: str, batch_id: int = 1) -> dict[str, Any]:
    return alert(n, batch_id, f"i{n}") | {"model": model, "rule": "drift"}


def away_for(table: str, version):
    def _version(name: str) -> int:
        if name == table:
            raise OutsideError("the storage is away")
        return version(name)

    return _version


@pytest.mark.parametrize("later", [[], ["confirmed"]])
@pytest.mark.parametrize("silent", [False, True])
def test_what_a_person_asks_for_again_leaves_though_it_was_withheld_before_it_was_given_up(later, silent):
    alerts = [labelled(1, "quiet")] + [labelled(1, "quiet", 2) | {"alert_id": "a2", "sequence": 2} for _ in later]
    tables, clock, sink = MemoryTables(alerts), Clock(), ScriptedSink()
    tables.rows["silences"] = [SILENCE] if silent else []
    steps = [(0, "withheld"), (0, "claimed"), (1, "dead"), (1, "withheld"), (1, "again")]
    for attempt, state in steps:
        clock.forward(1)
        named = {"alert_id": "a1", "sink": "scripted", "attempt": attempt, "state": state, "at": clock.now}
        tables.append("deliveries", [named])
    clock.forward(1)
    sending = dispatcher(tables, sink, clock)
    sending.step()
    assert sink.received == ["a1", *(["a2"] if later and not silent else [])]
    sending.step()
    dispatcher(tables, sink, clock).step()
    assert sink.received.count("a1") == 1


@pytest.mark.parametrize("restarted", [False, True])
def test_end_of_an_incident_is_sent_in_spite_of_a_silence_if_its_beginning_may_have_arrived(restarted):
    tables, clock, sink = MemoryTables([labelled(1, "quiet")]), Clock(), ScriptedSink("answer lost")
    sending = dispatcher(tables, sink, clock, max_attempts=1)
    sending.step()
    assert (sink.received, tables.rows["deliveries"][-1]["state"]) == (["a1"], "dead")
    tables.rows["silences"] = [SILENCE]
    tables.rows["alerts"].append(labelled(1, "quiet", 2) | {"alert_id": "a2", "sequence": 2, "state": "resolved"})
    clock.forward(60)
    (dispatcher(tables, sink, clock) if restarted else sending).step()
    assert sink.received == ["a1", "a2"]
