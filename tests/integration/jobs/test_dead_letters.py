"""``pegel dead-letters`` on real tables and a local Event Hubs, by the real SDK."""

import json
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import groupby

import pytest
from equipment.judged_events import LoggedEvent, judge

from pegel.errors import OutsideError, SettingsError
from pegel.jobs.audit import main as audit
from pegel.jobs.dead_letters import main
from pegel.local.eventhubs import EventHubsServer, codec, message, serve_in_thread
from pegel.local.eventhubs.log import PartitionLog
from pegel.tables.delta import DeltaTables

NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
MILLISECONDS = round(1000 * NOW.timestamp())
HUBS = {"predictions": 2, "feedback": 1}
ENVIRONMENT = "PEGEL_TEST_CONNECTION_STRING"
BEFORE = ": they were sent before; --again sends them once more\n"
EMAIL = "ada@example.org"


def refused(number, **changes):
    good = {"event_id": f"e{number}", "event_time": NOW.isoformat(), "model_name": "assistant", "model_version": "1"}
    return json.dumps(good | {"input": f"mail {EMAIL}", "schema_version": 2} | changes).encode()


BODIES = [
    *((("predictions", "0"), refused(number)) for number in range(6)),
    (("predictions", "1"), refused(6, schema_version=1, latency_ms="\x1b[31m red")),
    (("feedback", "0"), b"\xff no UTF-8"),
]


@pytest.fixture(autouse=True)
def _short_naps(monkeypatch):
    """The SDK looks every 50 ms whether a link is open or an answer is there; here it looks every 2 ms."""
    monkeypatch.setattr("time.sleep", lambda seconds, sleep=time.sleep: sleep(min(seconds, 0.002)))


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The hubs, which hold the refused events."""
    for (hub, partition), bodies in groupby(BODIES, key=lambda event: event[0]):
        (tmp_path / "hubs" / hub).mkdir(parents=True, exist_ok=True)
        log = PartitionLog(tmp_path / "hubs" / hub / f"{partition}.log")
        for second, (_, body) in enumerate(bodies):
            log.append([codec.described(message.DATA, codec.binary(body))], None, MILLISECONDS + 1000 * second)
        log.close()
    with serve_in_thread(EventHubsServer(HUBS, tmp_path / "hubs")) as running:
        monkeypatch.setenv(ENVIRONMENT, running.connection_string)
        yield running


def held(server):
    """All events in the logs of the hubs, by their places; nobody else writes there while this reads."""
    found = {}
    for hub, partitions in HUBS.items():
        for number in range(partitions):
            payloads = server._namespace.hub(hub).partitions[number].log.read(0, 1000, 1 << 30)
            found |= {(hub, str(number), at): body_of(payload) for at, payload in enumerate(payloads)}
    return found


def body_of(payload):
    return b"".join(
        codec.decode(payload, section.start)[0].value
        for section in message.sections(payload)
        if section.code == message.DATA
    )


@pytest.fixture
def tables(tmp_path):
    """Their dead letters, as the stream would have written them."""
    tables = DeltaTables(str(tmp_path / "tables"))
    places = Counter()
    rows = []
    for place, body in BODIES:
        at = NOW + timedelta(seconds=places[place])
        rows.append(row_of(LoggedEvent(*place, places[place], at, body)))
        places[place] += 1
    tables.append("dead_letters", rows)
    return tables


def row_of(event, *, batch_id=10**9, **changes):
    judged = judge(event, is_feedback=event.hub == "feedback", future_tolerance_seconds=300)
    place = {"hub": event.hub, "partition": event.partition, "offset": event.offset, "enqueued_time": event.enqueued}
    return judged.dead_letter | place | {"detail": "in words", "batch_id": batch_id} | changes


@pytest.fixture
def run(tmp_path, tables, capsys):  # noqa: ARG001
    def _run(*arguments):
        capsys.readouterr()
        place = [f"storage.root={tmp_path}/tables", f"source.eventhubs.connection_string.env={ENVIRONMENT}"]
        code = main([*arguments, *(word for setting in place for word in ("--set", setting))])
        return code, capsys.readouterr().out

    return _run


def sent_since(server, before):
    return sorted(body for place, body in held(server).items() if place not in before)


def event_at(hub, partition, offset):
    bodies = [body for place, body in BODIES if place == (hub, partition)]
    return LoggedEvent(hub, partition, offset, NOW + timedelta(seconds=offset), bodies[offset])


def masked(body):
    return body.decode("utf-8", "replace").replace(EMAIL, "[email]").encode()


def states(tables):
    rows = tables.read("requeues", 'SELECT * FROM t ORDER BY run, hub, partition, "offset"')
    return [(row["run"], row["hub"], row["offset"], row["state"]) for row in rows]


def test_list_shows_what_was_chosen_newest_first_and_no_body(run, tables):
    code, said = run("list", "--output", "json")
    listed = json.loads(said)
    rows = tables.read("dead_letters")
    assert code == 0
    assert len(listed) == len(rows) == len(BODIES)
    times = [letter["enqueued_time"] for letter in listed]
    assert times == sorted(times, reverse=True)
    wanted = {(r["hub"], r["partition"], r["offset"]): (r["sha256"], r["reason"], len(r["body"])) for r in rows}
    assert {
        (x["hub"], x["partition"], x["offset"]): (x["sha256"], x["reason"], x["characters"]) for x in listed
    } == wanted
    assert "input" not in said
    chosen = json.loads(run("list", "--reason", "unknown_version", "--limit", "2", "--output", "json")[1])
    assert [(letter["hub"], letter["offset"]) for letter in chosen] == [("predictions", 5), ("predictions", 4)]
    assert json.loads(run("list", "--hub", "feedback", "--since", "1h", "--output", "json")[1])[0]["hub"] == "feedback"
    soon = (NOW + timedelta(hours=1)).isoformat()
    assert json.loads(run("list", "--since", soon, "--output", "json")[1]) == []
    assert json.loads(run("list", "--until", (NOW - timedelta(hours=1)).isoformat(), "--output", "json")[1]) == []
    assert run("list", "--since", soon) == (0, "no dead letters\n")


def test_list_shows_an_event_that_two_checkpoints_refused_once_with_the_newer_reason(run, tables):
    tables.append("dead_letters", [row_of(event_at("predictions", "0", 2), batch_id=2 * 10**9, reason="bad_value")])
    code, said = run("list", "predictions/0/2", "--output", "json")
    (letter,) = json.loads(said)
    assert code == 0
    assert (letter["batch_id"], letter["reason"]) == (2 * 10**9, "bad_value")


def test_nothing_that_a_terminal_would_obey_is_written(run):
    for arguments in (("list",), ("show", "predictions", "1", "0"), ("show", "feedback/0/0")):
        code, said = run(*arguments)
        assert code == 0
        assert said.replace("\n", "").isprintable()


def test_show_gives_the_masked_body_and_says_what_is_not_there(run, capsys):
    code, said = run("show", "predictions", "0", "3")
    assert code == 0
    assert masked(BODIES[3][1]).decode() in said
    assert EMAIL not in said
    assert run("show", "predictions/0/3", "predictions/0/77")[0] == 1
    assert main(["show", "predictions/0/77", "--set", "storage.root=/nowhere"]) == 1
    assert "there is no dead letter predictions/0/77" in capsys.readouterr().err


def test_requeue_sends_the_stored_bodies_once_and_again_only_if_told_to(run, tables, server, tmp_path):
    before = held(server)
    arguments = ("requeue", "--reason", "unknown_version")
    assert run(*arguments, "--dry-run") == (0, "6 would be sent\n")
    assert held(server) == before
    assert run(*arguments) == (0, "requeue 1: 6 sent\n")
    wanted = sorted(masked(body) for (hub, partition), body in BODIES if (hub, partition) == ("predictions", "0"))
    after = held(server)
    assert sent_since(server, before) == wanted
    assert run(*arguments) == (0, f"requeue 2: 0 sent\n6 left out{BEFORE}")
    assert held(server) == after
    assert run("requeue", "--again", "predictions/0/2") == (0, "requeue 2: 1 sent\n")
    assert sent_since(server, after) == [masked(BODIES[2][1])]
    trail = tables.read("audit_events_dead_letters", "SELECT * FROM t ORDER BY sequence")
    assert [(row["subject"], row["decision"]) for row in trail] == [
        ("requeue 1", "claimed"), ("requeue 1", "ended"), ("requeue 2", "claimed"), ("requeue 2", "ended"),
    ]  # fmt: skip
    assert json.loads(trail[1]["evidence"])["sent"] == 6
    assert audit(["verify", "--without-mlflow", "--set", f"storage.root={tmp_path}/tables"]) == 0


def test_requeue_from_the_hub_sends_the_events_as_they_came_and_says_which_are_gone(run, tables, server):
    server.expire("predictions", "0", 4)
    before = held(server)
    code, said = run("requeue", "--all", "--from-hub")
    assert code == 1
    assert said == "requeue 1: 4 sent\n4 are gone: the hub does not hold them any more\n"
    assert sent_since(server, before) == sorted(body for _, body in BODIES[4:])
    gone = [(1, "predictions", offset, "gone") for offset in range(4)]
    assert [state for state in states(tables) if state[3] == "gone"] == gone
    # Nothing of these was sent, so they may be tried in another way without being told to.
    assert run("requeue", "--all") == (0, f"requeue 2: 4 sent\n4 left out{BEFORE}")
    assert sent_since(server, before) == sorted(
        [*(body for _, body in BODIES[4:]), *(masked(b) for _, b in BODIES[:4])]
    )


def test_requeue_reads_the_hub_where_no_body_was_kept(run, tables, server):
    before = held(server)
    row = row_of(event_at("predictions", "0", 1), batch_id=2 * 10**9, body=None)
    tables.append("dead_letters", [row])
    assert run("requeue", "predictions/0/0", "predictions/0/1") == (0, "requeue 1: 2 sent\n")
    assert sent_since(server, before) == sorted([masked(BODIES[0][1]), BODIES[1][1]])


def test_requeue_does_not_send_another_event_that_lies_where_the_refused_one_lay(run, tables, server):
    before = held(server)
    row = row_of(event_at("predictions", "1", 0), batch_id=2 * 10**9, sha256="0" * 64)
    tables.append("dead_letters", [row])
    code, said = run("requeue", "predictions/1/0", "--from-hub")
    assert (code, said) == (1, "requeue 1: 0 sent\n1 are other events now: the hub was made anew\n")
    assert held(server) == before


def test_requeue_says_what_the_hub_does_not_take(run, tables, server):
    before = held(server)
    row = row_of(event_at("predictions", "0", 0), batch_id=2 * 10**9, body="x" * 1_100_000)
    tables.append("dead_letters", [row])
    code, said = run("requeue", "predictions/0/0", "predictions/0/1")
    assert (code, said) == (1, "requeue 1: 1 sent\n1 are larger than the hub takes\n")
    assert sent_since(server, before) == [masked(BODIES[1][1])]


def test_a_requeue_that_was_cut_off_is_not_repeated_unless_told_to(run, server, monkeypatch):
    before = held(server)
    whole = server.connection_string
    monkeypatch.setenv(ENVIRONMENT, "Endpoint=sb://127.0.0.1:9/;SharedAccessKeyName=x;SharedAccessKey=eA==")
    with pytest.raises(OutsideError, match=r"did not take 2 events.*; 0 of 2 dead letters are known to be sent before"):
        run("requeue", "predictions/0/0", "predictions/0/1")
    monkeypatch.setenv(ENVIRONMENT, whole)
    code, said = run("requeue", "predictions/0/0", "predictions/0/1", "predictions/0/2")
    assert code == 0
    assert said.startswith("requeue 2: 1 sent\n2 left out: an earlier requeue was cut off")
    assert run("requeue", "predictions/0/0", "predictions/0/1", "--again") == (0, "requeue 3: 2 sent\n")
    assert sent_since(server, before) == sorted(masked(body) for _, body in BODIES[:3])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("requeue",), "--all for every one"),
        (("show",), "HUB/PARTITION/OFFSET"),
        (("show", "predictions/0"), "names no event"),
        (("list", "--since", "yesterday"), "is no moment"),
        (("list", "--limit", "0"), "use 1 or more"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused_in_one_sentence(run, arguments, words):
    with pytest.raises(SettingsError, match=words):
        run(*arguments)


def test_events_from_files_are_not_read_from_a_hub(run):
    with pytest.raises(SettingsError, match="no hub holds these events"):
        run("requeue", "predictions/0/0", "--from-hub", "--set", "source.kind=files", "--set", "source.files.path=/x")
