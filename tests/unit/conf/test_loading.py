"""Settings: what wins, what is refused, and in which words."""

from pathlib import Path

import pytest

from pegel.conf.loading import load_settings
from pegel.conf.secret_ref import SecretRef
from pegel.errors import SettingsError


def test_settings_come_from_the_last_place_that_names_them(tmp_path: Path) -> None:
    file = tmp_path / "mine.yml"
    file.write_text("ingest: {trigger_seconds: 7}\nsource: {max_events_per_trigger: 5}\n", encoding="utf-8")
    environ = {"PEGEL__INGEST__TRIGGER_SECONDS": "8", "PEGEL__STORAGE__ROOT": "/somewhere"}

    settings = load_settings(str(file), ["ingest.trigger_seconds=9"], environ)

    assert settings.ingest.trigger_seconds == 9
    assert settings.storage.root == "/somewhere"
    assert settings.source.max_events_per_trigger == 5
    assert settings.source.kind == "eventhubs"


@pytest.mark.parametrize("name", ["local.yml", "conf/local.yml", "demo.yml"])
def test_settings_that_ship_are_found_by_name_anywhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(name, environ={}).ingest.window_seconds == 10


def test_an_unknown_key_is_refused_with_its_nearest_neighbour() -> None:
    with pytest.raises(SettingsError, match="did you mean 'trigger_seconds'"):
        load_settings(None, ["ingest.triger_seconds=3"], {})


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("ingest.trigger_seconds", "has no '='"),
        ("ingest.trigger_seconds=-1", "greater than 0"),
        ("watch.window_seconds=[15]", "must be multiples"),
        ("ingest.trigger_seconds.deeper=1", "is refused|is a value"),
        ("source.eventhubs.connection_string=Endpoint=sb://x", "connection_string"),
    ],
)
def test_a_bad_value_is_refused_in_one_sentence(override: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as refused:
        load_settings(None, [override], {})
    assert "\n" not in str(refused.value)


def test_a_missing_file_says_where_it_was_looked_for() -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yml"):
        load_settings("nowhere.yml", environ={})


def test_spark_keys_keep_their_dots() -> None:
    assert load_settings(None, ["spark.driver.memory=3g"], {}).spark == {"spark.driver.memory": "3g"}


def test_the_fingerprint_changes_with_any_setting_and_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "s3cret-canary")
    override = "source.eventhubs.connection_string={env: CANARY}"
    one, other = load_settings(None, [override], {}), load_settings(None, ["ingest.trigger_seconds=4"], {})
    assert one.fingerprint != other.fingerprint
    assert "s3cret-canary" not in repr(one) + one.model_dump_json()


def test_a_secret_is_read_when_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("from-file\n", encoding="utf-8")
    monkeypatch.setenv("PEGEL_TEST_SECRET", "from-environment")
    assert SecretRef(env="PEGEL_TEST_SECRET").read() == "from-environment"
    assert SecretRef(file=str(tmp_path / "key")).read() == "from-file"
    with pytest.raises(SettingsError, match="NOT_THERE_AT_ALL"):
        SecretRef(env="NOT_THERE_AT_ALL").read()
