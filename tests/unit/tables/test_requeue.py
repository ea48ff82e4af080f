"""Requeues that run at the same time, and what they hold at a time; hubs are played, tables are real."""

import hashlib
from datetime import UTC, datetime

import pytest

from pegel.errors import OutsideError
from pegel.schemas.dead_letters import Choice, Place, RequeueState
from pegel.tables import requeue
from pegel.tables.delta import DeltaTables
from pegel.tables.requeue import Requeue

AT = datetime(2026, 11, 27, tzinfo=UTC)
SHA = hashlib.sha256(b"as it came").hexdigest()


class Recorded(list):
    """A trail in memory."""

    def record(self, **said):
        self.append((said["subject"], said["decision"]))


class Hub:
    """Takes what is sent; fails from the n-th call on."""

    def __init__(self, fails_from=10**9):
        self.calls = []
        self.fails_from = fails_from

    def __call__(self, hub, bodies):
        if len(self.calls) >= self.fails_from:
            msg = f"the hub {hub!r} is down"
            raise OutsideError(msg)
        self.calls.append((hub, list(bodies)))
        return ()


@pytest.fixture
def tables(tmp_path):
    tables = DeltaTables(str(tmp_path))
    row = {"partition": "0", "enqueued_time": AT, "reason": "future_time", "sha256": SHA, "batch_id": 10**9}
    tables.append(
        "dead_letters",
        [
            {**row, "hub": hub, "offset": n, "body": f"{hub} {n}"}
            for hub in ("predictions", "feedback")
            for n in range(5)
        ],
    )
    return tables


def requeue_of(tables, send, trail=None, reread=lambda _: ()):
    return Requeue(tables, Recorded() if trail is None else trail, send, reread, "a test", lambda: AT)


def test_of_two_requeues_at_the_same_time_one_sends_and_the_other_is_refused(tables, tmp_path):
    first, second, trail = Hub(), Hub(), Recorded()

    class Interrupted(DeltaTables):
        """Between reading and claiming, another requeue runs from its beginning to its end."""

        def append(self, name, rows, transaction=None):
            if name == "requeues" and not second.calls:
                requeue_of(tables, second).run(Choice())
            return super().append(name, rows, transaction)

    with pytest.raises(OutsideError, match="another requeue"):
        requeue_of(Interrupted(str(tmp_path)), first, trail).run(Choice())
    assert first.calls == trail == []
    assert sum(len(bodies) for _, bodies in second.calls) == 10


def test_a_requeue_is_recorded_before_it_sends_anything(tables):
    hub = Hub()

    class Refusing(Recorded):
        def record(self, **said):
            msg = f"the trail cannot be written: {said['decision']}"
            raise OutsideError(msg)

    with pytest.raises(OutsideError, match="claimed"):
        requeue_of(tables, hub, Refusing()).run(Choice())
    assert hub.calls == []


def test_what_was_sent_before_a_hub_failed_is_known_to_be_sent(tables, monkeypatch):
    monkeypatch.setattr(requeue, "MAX_EVENTS", 3)
    trail, down = Recorded(), Hub(fails_from=2)
    with pytest.raises(OutsideError, match="is down; 3 of 10 dead letters are known to be sent before"):
        requeue_of(tables, down, trail).run(Choice())
    assert trail == [("requeue 1", "claimed"), ("requeue 1", "failed")]
    up = Hub()
    report = requeue_of(tables, up).run(Choice())
    assert (report.left_out, report.unfinished, dict(report.states), up.calls) == (3, 7, {}, [])
    report = requeue_of(tables, up).run(Choice(), again=True)
    assert dict(report.states) == {RequeueState.SENT: 10}
    assert max(len(bodies) for _, bodies in up.calls) <= 3


@pytest.mark.parametrize("limit", [1, 40, 10**9])
def test_every_dead_letter_goes_to_its_own_hub_in_order_however_few_are_held_at_a_time(tables, monkeypatch, limit):
    monkeypatch.setattr(requeue, "MAX_BYTES", limit)
    hub = Hub()
    assert dict(requeue_of(tables, hub).run(Choice()).states) == {RequeueState.SENT: 10}
    for name in ("predictions", "feedback"):
        sent = [body for to, bodies in hub.calls if to == name for body in bodies]
        assert sent == [f"{name} {n}".encode() for n in range(5)]


def test_an_event_whose_id_was_masked_is_read_from_the_hub(tables):
    body = '{"event_id": "%s", "input": "call [phone]"}'
    row = {"hub": "predictions", "partition": "1", "enqueued_time": AT, "reason": "future_time", "batch_id": 10**9}
    bodies = enumerate((body % "[phone]-1", body % "e2"))
    tables.append("dead_letters", [{**row, "offset": n, "body": text, "sha256": SHA} for n, text in bodies])
    hub, asked = Hub(), []

    def reread(places):
        asked.extend(places)
        return [(place, b"as it came") for place in places]

    chosen = frozenset(Place("predictions", "1", n) for n in range(2))
    assert dict(requeue_of(tables, hub, reread=reread).run(Choice(chosen)).states) == {RequeueState.SENT: 2}
    assert asked == [Place("predictions", "1", 0)]
    assert [body for _, bodies in hub.calls for body in bodies] == [(body % "e2").encode(), b"as it came"]


def test_an_event_that_a_hub_gives_twice_or_unasked_is_sent_once(tables):
    def reread(places):
        for place in places:
            yield from [(place, b"as it came")] * 2
            yield type(place)("other", "0", 0), b"as it came"

    hub = Hub()
    report = requeue_of(tables, hub, reread=reread).run(Choice(hub="feedback"), from_hub=True)
    assert dict(report.states) == {RequeueState.SENT: 5}
    assert hub.calls == [("feedback", [b"as it came"] * 5)]
