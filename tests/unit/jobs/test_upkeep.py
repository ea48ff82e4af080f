"""Keeping tables while the stream runs: often enough, and never beside an erasure."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from deltalake import DeltaTable

from pegel.conf.settings import Settings
from pegel.errors import OutsideError
from pegel.jobs.maintain import main
from pegel.jobs.wiring.erasing import carry_out, open_owned
from pegel.jobs.wiring.upkeep import UpkeepOfTheStream
from pegel.schemas.erasures import ErasureRequest, Subject
from pegel.tables.erasure import WRITER, file_request, is_filed
from pegel.tables.lease import FILES_PATH, Lease
from pegel.tables.maintenance import Maintenance

NOW = datetime(2026, 11, 25, tzinfo=UTC)
COUNTS = ("received", "stored", "dead_letters", "duplicates")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {"storage": {"root": str(tmp_path / "tables")}, "audit": {"spool": str(tmp_path / "audit")}}
    )


@pytest.fixture
def tables(settings: Settings) -> Maintenance:
    made = Maintenance(settings.storage.root)
    for batch_id in range(6):
        store(made, batch_id)
    return made


def store(tables: Maintenance, batch_id: int) -> None:
    counts = {f"{prefix}{name}": 0 for prefix in ("", "feedback_") for name in COUNTS}
    named = {"query_id": "q", "batch_id": batch_id, "generation": 0, "offsets": [], "in_partials": 0}
    tables.append("batches", [counts | named], ("q/batches", batch_id))


def files(tables: Maintenance) -> int:
    return len(DeltaTable(tables.uri("batches")).file_uris())


def wait_for_files(tables: Maintenance, at_most: int) -> None:
    deadline = time.monotonic() + 30
    while files(tables) > at_most:
        assert time.monotonic() < deadline, "nobody put the files together"
        time.sleep(0.02)


def test_a_table_of_the_stream_is_kept_after_so_many_commits_again_and_again(
    settings: Settings, tables: Maintenance
) -> None:
    with UpkeepOfTheStream(settings, commits=5, look_seconds=0.02):
        wait_for_files(tables, 1)
        version = tables.version("batches")
        store(tables, 6)
        time.sleep(0.2)
        assert files(tables) == 2, "one commit is not worth it"
        assert tables.version("batches") == version + 1
        for batch_id in range(7, 13):
            store(tables, batch_id)
        wait_for_files(tables, 3)
    assert [row["batch_id"] for row in tables.read("batches", "SELECT batch_id FROM t ORDER BY 1")] == list(range(13))


def test_upkeep_waits_while_an_erasure_holds_the_files(settings: Settings, tables: Maintenance) -> None:
    erasing = Lease(tables, WRITER, FILES_PATH, sleep=lambda _: None)
    assert erasing.try_take()
    with UpkeepOfTheStream(settings, commits=5, look_seconds=0.02):
        time.sleep(0.2)
        assert files(tables) == 6
        with pytest.raises(OutsideError, match="'erase'"):
            main(["--set", f"storage.root={settings.storage.root}"])
        assert files(tables) == 6
        erasing.release()
        wait_for_files(tables, 1)


def test_an_erasure_waits_while_files_are_put_together_and_stays_filed(settings: Settings, tables: Maintenance) -> None:
    owned = open_owned(settings)
    subjects = (Subject("segments", "country", "de"),)
    file_request(owned, ErasureRequest("anerasure", subjects, "root", "a ticket", NOW))
    keeping = Lease(tables, "maintain", FILES_PATH, sleep=lambda _: None)
    assert keeping.try_take()
    assert carry_out(settings, owned) is None
    assert is_filed(owned, "anerasure")
    keeping.release()
    erased = carry_out(settings, owned)
    assert erased is not None
    assert [one.erasure_id for one in erased] == ["anerasure"]
    assert not is_filed(owned, "anerasure")
    assert Lease(tables, "maintain", FILES_PATH).holder() is None
