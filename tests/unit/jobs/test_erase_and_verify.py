"""``pegel erase`` and ``pegel verify`` as they are called: who carries a request out, what is printed, how they end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from deltalake import DeltaTable
from equipment.recomputed_tables import SETTINGS, write_recomputed

from pegel.conf.loading import load_settings
from pegel.errors import OutsideError, SettingsError
from pegel.jobs import erase, stream, verify
from pegel.jobs.wiring import erasing
from pegel.jobs.wiring.erasing import ErasuresOfTheStream, open_owned
from pegel.tables import lease
from pegel.tables.delta import DeltaTables
from pegel.tables.erasure import WRITER, filed_requests
from pegel.tables.lease import Lease
from pegel.tables.owned import OwnedTables

GERMANS = ("--subject", "segments.country=de")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erase, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(erasing, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(lease, "SETTLE_SECONDS", 0.05)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    sections = {"storage": {"root": str(tmp_path / "tables")}, "ingest": SETTINGS.ingest.model_dump(mode="json")}
    path = tmp_path / "settings.yml"
    path.write_text(yaml.safe_dump(sections))
    return path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of tables that each test changes a copy of."""
    folder = tmp_path_factory.mktemp("written")
    write_recomputed(DeltaTables(str(folder)), 17, 150, 50)
    return folder


@pytest.fixture
def tables(config: Path, written: Path, tmp_path: Path) -> OwnedTables:
    shutil.copytree(written, tmp_path / "tables")
    return open_owned(load_settings(str(config), environ={}))


def run(job: Any, config: Path, *arguments: str) -> int:
    return int(job.main(["--config", str(config), *arguments]))


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def germans(tables: OwnedTables) -> int:
    return sum((row["segments"] or {}).get("country") == "de" for row in tables.read("predictions"))


def without(tables: OwnedTables, name: str, rows: Sequence[dict[str, Any]]) -> None:
    DeltaTable(tables.uri(name)).delete()
    tables.append(name, rows)


def test_with_no_stream_the_job_erases_by_itself_and_verify_accounts_for_it(
    config: Path, tables: OwnedTables, capsys: pytest.CaptureFixture[str]
) -> None:
    before = germans(tables)
    assert before > 5
    assert run(erase, config, *GERMANS, "--output", "json") == 0
    said = printed(capsys)
    assert said["rows"]["predictions"] == before
    assert said["named_segments"] == ["country=de"]
    assert germans(tables) == 0
    assert Lease(tables, "stream").holder() is None
    assert run(verify, config, "--output", "json") == 0
    laws = {law["name"]: law for law in printed(capsys)["laws"]}
    assert laws["audited erasures"]["checked"] > 0
    assert run(erase, config, *GERMANS) == 0
    assert "0 rows erased, no file of their tables holds them" in capsys.readouterr().out


def test_a_running_stream_erases_between_its_micro_batches(config: Path, tables: OwnedTables) -> None:
    settings = load_settings(str(config), environ={})
    between, done = threading.Lock(), threading.Event()
    entered = []

    class Between:
        def __enter__(self) -> None:
            between.acquire()
            entered.append(Lease(tables, WRITER).holder())

        def __exit__(self, *_: object) -> None:
            between.release()

    def stream() -> None:
        with ErasuresOfTheStream(settings, done) as erasures:
            while not done.wait(0.05):
                erasures.look(Between())

    running = threading.Thread(target=stream)
    running.start()
    try:
        while Lease(tables, WRITER).holder() is None:
            done.wait(0.01)
        assert run(erase, config, *GERMANS) == 0
    finally:
        done.set()
        running.join(30)
    assert germans(tables) == 0
    assert entered == ["stream"]
    assert Lease(tables, WRITER).holder() is None


def test_a_stream_begins_only_when_no_erasure_holds_the_tables(config: Path, tables: OwnedTables) -> None:
    holder = Lease(tables, WRITER)
    assert holder.try_take()
    begun = threading.Event()

    def stream() -> None:
        with ErasuresOfTheStream(load_settings(str(config), environ={}), threading.Event()):
            begun.set()

    starting = threading.Thread(target=stream)
    starting.start()
    assert not begun.wait(0.3)
    holder.release()
    assert begun.wait(30)
    starting.join(30)


def test_a_second_stream_is_refused_before_spark_starts_and_touches_nothing(config: Path, tables: OwnedTables) -> None:
    settings = load_settings(str(config), environ={})
    with ErasuresOfTheStream(settings, threading.Event()) as first:
        with pytest.raises(
            SettingsError, match=r"another stream writes the tables below .*; end that one first"
        ) as why:
            run(stream, config)
        assert "\n" not in str(why.value)
        first.look(nullcontext())
        assert Lease(tables, WRITER).holder() == "stream"
    assert Lease(tables, WRITER).holder() is None


HOLDS_THE_LEASE = """
import sys, threading
from pegel.conf.loading import load_settings
from pegel.jobs.wiring.erasing import ErasuresOfTheStream
with ErasuresOfTheStream(load_settings(sys.argv[1]), threading.Event()):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_successor_of_a_stream_that_was_killed_takes_the_tables_without_waiting(
    config: Path, tables: OwnedTables
) -> None:
    command = [sys.executable, "-c", HOLDS_THE_LEASE, str(config)]
    killed = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"held\n"
        assert Lease(tables, WRITER).holder() == "stream"
    finally:
        killed.kill()
        killed.communicate()

    class NoWaiting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pytest.fail(f"waited for {timeout} s")

    with ErasuresOfTheStream(load_settings(str(config), environ={}), NoWaiting()):
        assert Lease(tables, WRITER).holder() == "stream"


def test_a_stream_whose_tables_were_taken_over_ends(
    config: Path, tables: OwnedTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.02)
    with ErasuresOfTheStream(load_settings(str(config), environ={}), threading.Event()) as frozen:
        following = Lease(tables, "stream")
        assert following.take_over()
        assert frozen._lease.lost.wait(30)
        with pytest.raises(OutsideError, match="another stream has taken over the tables below"):
            frozen.look(nullcontext())
    assert not following.lost.is_set()
    following.release()


def test_a_stream_that_waits_for_an_erasure_ends_when_it_is_told_to(config: Path, tables: OwnedTables) -> None:
    holder = Lease(tables, WRITER)
    assert holder.try_take()
    stop = threading.Event()
    entered = threading.Event()

    def wait() -> None:
        with ErasuresOfTheStream(load_settings(str(config), environ={}), stop):
            entered.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not entered.wait(0.2)
    stop.set()
    waiting.join(30)
    assert not waiting.is_alive()
    assert Lease(tables, "stream").holder() == WRITER
    holder.release()


@pytest.fixture
def _handlers() -> Iterator[None]:
    """The handlers of signals that a job sets are put back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_handlers")
def test_an_erasure_that_waits_ends_at_sigterm_and_stays_filed(
    config: Path, tables: OwnedTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So long that only the signal can end it.
    monkeypatch.setattr(erase, "LOOK_SECONDS", 3600.0)
    holder = Lease(tables, "stream")
    assert holder.try_take()

    def terminate() -> None:
        while not filed_requests(tables):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    killer = threading.Thread(target=terminate)
    killer.start()
    try:
        with pytest.raises(
            OutsideError, match=r"was told to end before the erasure .* was carried out; it stays filed"
        ):
            run(erase, config, *GERMANS)
    finally:
        killer.join(30)
        holder.release()
    assert len(filed_requests(tables)) == 1
    assert germans(tables) > 0


def test_while_a_micro_batch_is_half_written_a_request_waits_and_says_so(config: Path, tables: OwnedTables) -> None:
    row = tables.read("predictions")[0]
    tables.append("predictions", [row | {"batch_id": 50, "event_id": "half", "offset": 10**6}])
    with pytest.raises(OutsideError, match="a micro-batch is half written, start the stream once"):
        run(erase, config, *GERMANS, "--wait-seconds", "0.3")
    assert germans(tables) > 0
    assert len(filed_requests(tables)) == 1
    assert Lease(tables, "stream").holder() is None


def test_verify_ends_with_one_and_names_the_first_differences(
    config: Path, tables: OwnedTables, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(verify, config) == 0
    assert capsys.readouterr().out.count("holds   ") == 12
    gone = tables.read("predictions")[0]
    without(tables, "predictions", tables.read("predictions")[1:])
    assert run(verify, config) == 1
    out = capsys.readouterr().out
    assert "BROKEN  rows: 1 of" in out
    assert f"predictions, micro-batch {gone['batch_id']}, 'rows': expected" in out
    assert run(verify, config, "--output", "json") == 1
    broken = {law["name"]: law for law in printed(capsys)["laws"] if law["broken"]}
    difference = broken["rows"]["differences"][0]
    assert difference["expected"] == difference["found"] + 1


def test_an_erasure_that_the_audit_trail_does_not_know_is_a_difference(
    config: Path, tables: OwnedTables, capsys: pytest.CaptureFixture[str]
) -> None:
    run(erase, config, *GERMANS)
    row = tables.read("erasures")[0]
    tables.append("erasures", [row | {"offset": 10**6}])
    capsys.readouterr()
    assert run(verify, config, "--output", "json") == 1
    broken = {law["name"] for law in printed(capsys)["laws"] if law["broken"]}
    assert broken >= {"rows", "audited erasures"}


def test_verify_does_not_judge_while_an_erasure_is_under_way(config: Path, tables: OwnedTables) -> None:
    run(erase, config, *GERMANS)
    row = tables.read("erasures")[0]
    tables.append("erasures", [row | {"erasure_id": "underway"}])
    with pytest.raises(OutsideError, match="the erasure underway is under way"):
        run(verify, config)


@pytest.mark.parametrize("job", [erase, verify])
def test_a_root_without_tables_is_refused_in_one_sentence(config: Path, job: Any) -> None:
    arguments = GERMANS if job is erase else ()
    with pytest.raises(SettingsError, match="there is no table 'batches' under"):
        run(job, config, *arguments)


def test_a_person_is_named_in_no_file_once_the_request_is_refused(config: Path, tables: OwnedTables) -> None:
    with suppress(SettingsError):
        run(erase, config, "--subject", "user=alice")
    assert filed_requests(tables) == []
