import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pegel.errors import OutsideError, ReplayError
from pegel.lifecycle import retraining as module
from pegel.lifecycle.clean_load import VersionRefusedError
from pegel.lifecycle.labelled_text import LabelledText
from pegel.lifecycle.onset import Onset, onset_of_schedule
from pegel.lifecycle.promotion import ChampionMovedError
from pegel.lifecycle.registry import Registry
from pegel.lifecycle.retraining import Retraining, RetrainingFailedError
from pegel.schemas import model_io
from pegel.schemas.audit import from_row
from pegel.schemas.audit_verification import Verification
from pegel.schemas.state_machines import RetrainingState
from pegel.tables.audit import AuditTrail
from pegel.tables.delta import DeltaTables

START = datetime(2026, 11, 25, 3, tzinfo=UTC)
SINCE = START + timedelta(seconds=200)
ONSET = Onset("incident-1", SINCE, 100)
WORDS = {
    "music": ("play", "song", "album", "band"),
    "alarm": ("set", "timer", "clock", "wake"),
    "home": ("dim", "lights", "door", "heater"),
    "travel": ("book", "flight", "hotel", "train"),
}


def text(label: str, n: int, true: str | None = None) -> LabelledText:
    words = WORDS[label]
    return LabelledText(f"{words[n % 4]} {words[(n // 4) % 4]} {words[(n // 16) % 4]} live{n}", true or label)


def feed(made: Any, *, wrong: bool = False) -> None:
    """200 s of usual traffic, then 200 s in which every second text is of a class that the champion does not know.

    Labels that are wrong teach the challenger nonsense; the 60 rows that it is judged by are right all the same.
    """
    usual = ("music", "alarm", "home")
    rows = []
    for n in range(400):
        label = "travel" if n >= 200 and n % 2 else usual[n % 3]
        rows.append((START + timedelta(seconds=n), text(label, n, "nonsense" if wrong and n < 340 else label)))
    made.live(rows[:200], 1)
    made.live(rows[200:], 2)
    for n in range(0, 190, 10):
        made.window("1", START + timedelta(seconds=n), 0.95)


def prove_on_wait(made: Any, *, effect: float = 0.0, accuracy: float = 0.95) -> None:
    """While somebody waits for the proof, the stream writes one window and one block of the new version."""

    def stream() -> None:
        if "proving" in made.states():
            start = made.clock.now.replace(microsecond=0)
            start += timedelta(seconds=(-start.second) % 10)
            made.window("2", start, accuracy)
            made.block("2", start + timedelta(seconds=1), effect=effect)

    made.clock.on_wait = stream


def retraining(made: Any, **change: Any) -> Retraining:
    return Retraining(made.settings, made.tables, made.registry, now=made.clock, sleep=made.clock.sleep, **change)


@pytest.fixture(autouse=True)
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The versions that were asked of a clean process, which takes seconds to start: test_registration starts it."""
    asked: list[str] = []
    monkeypatch.setattr(module, "check_loads_in_clean_process", lambda _, version, __: asked.append(version))
    return asked


def row_of(made: Any, state: str) -> dict[str, Any]:
    (row,) = [row for row in made.tables.read("retrainings") if row["state"] == state]
    return row


def test_retraining_with_a_better_model_ends_proven(deploy: Callable[..., Any], loads: list[str]) -> None:
    made = deploy("proven")
    feed(made)
    prove_on_wait(made)
    assert retraining(made).run(ONSET) is RetrainingState.PROVEN
    assert made.states() == ["started", "trained", "promoted", "proving", "proven"]
    assert (made.registry.champion(), made.registry.previous()) == ("2", "1")
    assert loads == ["2"]
    promoted = row_of(made, "promoted")
    assert (promoted["champion"], promoted["challenger"], promoted["batch_id_max"]) == ("1", "2", 2)
    assert promoted["training_rows"] == 400
    # Half of the judged texts are of a class that the champion cannot name.
    assert promoted["champion_quality"] == pytest.approx(0.5, abs=0.05)
    assert promoted["challenger_quality"] > 0.95
    assert "neither was trained on" in promoted["detail"]
    tags = made.registry.tags("2")
    assert tags[model_io.TAG_RETRAINING] == "incident-1:1"
    assert tags[model_io.TAG_VALIDATION] == model_io.VALIDATION_PASSED
    (baseline,) = [row for row in made.tables.read("baselines") if row["version"] == "2"]
    assert dict(baseline["counts"])["events"] == 60
    assert made.moves() == [("", "1", "first"), ("1", "2", "promoted")]
    assert len(made.registry.training_rows("2")) == 120 + 340


def test_retraining_that_has_proven_is_left_alone(deploy: Callable[..., Any]) -> None:
    made = deploy("again")
    feed(made)
    prove_on_wait(made)
    for _ in range(2):
        assert retraining(made).run(ONSET) is RetrainingState.PROVEN
    assert len(made.states()) == 5
    assert made.registry.version_tagged(model_io.TAG_RETRAINING, "incident-1:1") == "2"


@pytest.mark.parametrize(
    ("name", "stream", "reason"),
    [
        ("drifts", {"effect": 0.4}, "rang with an effect"),
        ("is-wrong", {"accuracy": 0.7}, "right in 70.0%"),
    ],
)
def test_version_that_does_not_prove_itself_is_rolled_back(
    deploy: Callable[..., Any], name: str, stream: dict[str, float], reason: str
) -> None:
    made = deploy(name)
    feed(made)
    prove_on_wait(made, **stream)
    assert retraining(made).run(ONSET) is RetrainingState.ROLLED_BACK
    assert made.registry.champion() == "1"
    assert reason in row_of(made, "rolled_back")["detail"]
    assert made.moves() == [("", "1", "first"), ("1", "2", "promoted"), ("2", "1", "rolled_back")]


def test_version_without_labels_is_rolled_back_at_the_time_out(deploy: Callable[..., Any]) -> None:
    made = deploy("no-proof")
    feed(made)
    begin = made.clock.now
    assert retraining(made).run(ONSET) is RetrainingState.ROLLED_BACK
    assert made.clock.now - begin == timedelta(seconds=300)
    assert "fewer than 2 final windows" in row_of(made, "rolled_back")["detail"]


def test_next_attempt_follows_a_rollback(deploy: Callable[..., Any]) -> None:
    made = deploy("second-attempt")
    feed(made)
    assert retraining(made).run(ONSET) is RetrainingState.ROLLED_BACK
    made.clock.on_wait = lambda: None
    assert retraining(made, wait=False).run(ONSET) is RetrainingState.PROVING
    rows = made.tables.read("retrainings")
    assert sorted(row["state"] for row in rows if row["attempt"] == 2) == ["promoted", "proving", "started", "trained"]
    assert made.registry.champion() == "3"


def test_challenger_that_is_worse_is_rejected(deploy: Callable[..., Any]) -> None:
    made = deploy("rejected")
    feed(made, wrong=True)
    assert retraining(made).run(ONSET) is RetrainingState.REJECTED
    assert made.registry.champion() == "1"
    rejected = row_of(made, "rejected")
    assert rejected["challenger_quality"] < rejected["champion_quality"]
    assert made.registry.tags("2")[model_io.TAG_VALIDATION] == model_io.VALIDATION_PENDING
    assert made.moves() == [("", "1", "first")]


def test_challenger_that_does_not_load_in_a_clean_process_ends_the_attempt(
    deploy: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = deploy("unloadable")
    feed(made)

    def refuse(*_: object) -> None:
        msg = "version 2 does not load: no module named nothing"
        raise VersionRefusedError(msg)

    monkeypatch.setattr(module, "check_loads_in_clean_process", refuse)
    with pytest.raises(VersionRefusedError):
        retraining(made).run(ONSET)
    assert made.states() == ["started", "trained", "failed"]
    assert "no module named nothing" in row_of(made, "failed")["detail"]
    assert made.registry.champion() == "1"
    assert made.registry.tags("2")[model_io.TAG_VALIDATION] == model_io.VALIDATION_PENDING


def test_retraining_without_labels_fails_at_the_time_out(deploy: Callable[..., Any]) -> None:
    made = deploy("no-labels")
    made.live([(SINCE + timedelta(seconds=n), text("music", n)) for n in range(99)], 1)
    begin = made.clock.now
    with pytest.raises(RetrainingFailedError, match="only 99 labelled rows"):
        retraining(made).run(ONSET)
    assert made.clock.now - begin == timedelta(seconds=60)
    assert made.states() == ["started", "failed"]


def test_retraining_waits_for_labels_that_come(deploy: Callable[..., Any]) -> None:
    made = deploy("late-labels")

    def arrive() -> None:
        made.clock.on_wait = lambda: None
        feed(made)

    made.clock.on_wait = arrive
    assert retraining(made, wait=True).run(ONSET) is RetrainingState.ROLLED_BACK
    assert row_of(made, "trained")["batch_id_max"] == 2


class CrashError(Exception):
    """The process ends here."""


class DyingTables(DeltaTables):
    """Dies before or after it appends a certain state."""

    def __init__(self, root: str, state: str, *, after: bool) -> None:
        super().__init__(root)
        self._state, self._after = state, after

    def append(self, name: str, rows: Any, transaction: Any = None) -> bool:
        dies = name == "retrainings" and rows[0]["state"] == self._state
        if dies and not self._after:
            raise CrashError
        written = super().append(name, rows, transaction)
        if dies:
            raise CrashError
        return written


def test_retraining_that_dies_anywhere_goes_on_and_registers_once(deploy: Callable[..., Any]) -> None:
    made = deploy("dies")
    feed(made)
    prove_on_wait(made)
    for state in ("started", "trained", "promoted", "proving", "proven"):
        for after in (False, True):
            dying = DyingTables(made.settings.storage.root, state, after=after)
            with pytest.raises(CrashError):
                Retraining(made.settings, dying, made.registry, now=made.clock, sleep=made.clock.sleep).run(ONSET)
    assert retraining(made).run(ONSET) is RetrainingState.PROVEN
    assert made.states() == ["started", "trained", "promoted", "proving", "proven"]
    versions = made.registry.client.search_model_versions("name = 'dies'")
    assert sorted(str(version.version) for version in versions) == ["1", "2"]
    assert sorted(row["version"] for row in made.tables.read("baselines")) == ["1", "2"]
    assert made.moves() == [("", "1", "first"), ("1", "2", "promoted")]
    assert (made.registry.champion(), made.registry.previous()) == ("2", "1")


def test_retraining_that_dies_between_row_and_alias_completes_the_move(
    deploy: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = deploy("half-moved")
    feed(made)
    prove_on_wait(made)
    with monkeypatch.context() as patch:

        def down(*_: object) -> None:
            msg = "the registry is down"
            raise OutsideError(msg)

        patch.setattr(Registry, "move_champion", down)
        with pytest.raises(OutsideError):
            retraining(made).run(ONSET)
    assert made.states() == ["started", "trained"]
    assert made.registry.champion() == "1"
    assert retraining(made).run(ONSET) is RetrainingState.PROVEN
    assert made.moves() == [("", "1", "first"), ("1", "2", "promoted")]


def test_rows_that_changed_after_they_were_named_end_the_attempt(deploy: Callable[..., Any]) -> None:
    made = deploy("changed")
    feed(made)
    dying = DyingTables(made.settings.storage.root, "promoted", after=False)
    with pytest.raises(CrashError):
        Retraining(made.settings, dying, made.registry, now=made.clock, sleep=made.clock.sleep).run(ONSET)
    from deltalake import DeltaTable

    DeltaTable(made.tables.uri("feedback")).delete("feedback_id = 'f2-7'")
    with pytest.raises(ReplayError, match="399 with"):
        retraining(made).run(ONSET)
    assert row_of(made, "failed")["challenger"] == "2"


def test_champion_that_somebody_else_moved_ends_the_attempt(deploy: Callable[..., Any], champion: Any) -> None:
    made = deploy("moved-away")
    feed(made)
    dying = DyingTables(made.settings.storage.root, "trained", after=True)
    with pytest.raises(CrashError):
        Retraining(made.settings, dying, made.registry, now=made.clock, sleep=made.clock.sleep).run(ONSET)
    shared = champion.registry.client.get_model_version("shared", "1")
    other = made.registry.register(shared.source, {model_io.TAG_VALIDATION: model_io.VALIDATION_PASSED})
    made.registry.move_champion(other, "1")
    with pytest.raises(ChampionMovedError):
        retraining(made).run(ONSET)
    assert made.registry.champion() == other
    assert made.states()[-1] == "failed"


def test_scheduled_retraining_takes_what_is_new_to_the_champion(deploy: Callable[..., Any]) -> None:
    made = deploy("scheduled")
    feed(made)
    onset = onset_of_schedule(made.tables, made.registry, 100)
    assert (onset.incident_id, onset.since) == ("scheduled-1", START)
    prove_on_wait(made)
    assert retraining(made).run(onset) is RetrainingState.PROVEN
    proving = row_of(made, "proving")
    assert "no labelled window before the onset" in proving["detail"]


@pytest.mark.parametrize(("effect", "end"), [(0.0, "proven"), (0.9, "rolled_back")])
def test_each_state_is_a_record_of_the_trail_before_it_is_a_row_with_what_it_rests_on(deploy, tmp_path, effect, end):
    made = deploy(f"audited-{end}")
    trail = AuditTrail(made.tables, "retrain", tmp_path, now=made.clock)
    feed(made)
    prove_on_wait(made, effect=effect)
    assert retraining(made, trail=trail).run(ONSET) == end
    trail.close()
    records = made.tables.read("audit_events_retrain", "SELECT * FROM t ORDER BY sequence")
    assert Verification("retrain", []).read(from_row(row) for row in records).findings == []
    assert [row["decision"] for row in records] == ["started", "trained", "promoted", "proving", end]
    rows = {row["state"]: row for row in made.tables.read("retrainings")}
    assert all(row["reason"] == rows[row["decision"]]["detail"] for row in records)
    promoted = json.loads(records[2]["evidence"])
    known = ("champion", "challenger", "training_rows", "checksum", "champion_quality", "challenger_quality")
    assert {name: promoted[name] for name in known} == {name: rows["promoted"][name] for name in known}
    assert promoted["n"] == 60


def test_the_card_of_a_proven_version_tells_its_comparison_its_move_and_whose_rows_it_holds(deploy):
    made = deploy("with-card")
    feed(made)
    prove_on_wait(made)
    assert retraining(made).run(ONSET) == "proven"
    run_id = made.registry.client.get_model_version("with-card", "2").run_id
    card = made.registry.client.download_artifacts(run_id, "model_card_2.md")
    text = Path(card).read_text()
    detail = row_of(made, "promoted")["detail"].partition("(")[0]
    assert text.startswith("# with-card, version 2\n")
    assert f"| {row_of(made, 'promoted')['champion_quality']:.1%} |" in text
    assert detail in text
    assert "| proven |" in text
    assert "UTC, promoted, by incident-1:1 |" in text
    assert "| 1 | no incident |" in text
