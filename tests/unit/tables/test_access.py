"""What opens the storage: secrets are read when they are used, a token is asked for anew, and `deltalake` shows it."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from pegel.conf.secret_ref import SecretRef
from pegel.conf.settings import StorageSettings
from pegel.errors import OutsideError, SettingsError
from pegel.tables.access import SCOPE, open_tables, storage_options
from pegel.tables.delta import DeltaTables


class Credential:
    """Gives another token each time, with an hour to live."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.now = 1_000_000.0

    def get_token(self, *scopes: str, **_options: Any) -> Any:
        self.asked.append(scopes)
        return SimpleNamespace(token=f"token-{len(self.asked)}", expires_on=int(self.now) + 3600)


# A process of its own: `deltalake` holds the interpreter while it asks whether a table is there. It lists an empty
# folder of a blob container to whoever asks, and writes down what was shown.
STORAGE = """
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(self.headers.get("Authorization"), flush=True)
        empty = b'<?xml version="1.0"?><EnumerationResults><Blobs></Blobs><NextMarker/></EnumerationResults>'
        self.send_response(200 if "comp=list" in self.path else 404)
        self.send_header("Content-Length", str(len(empty)))
        self.end_headers()
        self.wfile.write(empty)

    def log_message(self, *_arguments):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


class Storage:
    """The process and what it has seen."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", STORAGE], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{self._process.stdout.readline().strip()}"

    def end(self) -> set[str]:
        """Stop it, and give every header that it was shown."""
        self._process.terminate()
        if self._process.stdout is None or self._process.stdout.closed:
            return set()
        said, _ = self._process.communicate()
        return set(said.split("\n")) - {""}


@pytest.fixture
def storage():
    served = Storage()
    yield served
    served.end()


def abfss(url: str, **settings: Any) -> StorageSettings:
    options = {"azure_storage_endpoint": url, "allow_http": "true", "max_retries": "0", **settings.pop("options", {})}
    return StorageSettings(root="abfss://pegel@account.dfs.core.windows.net/tables", options=options, **settings)


def test_a_secret_among_the_options_is_read_at_each_use(monkeypatch):
    current = storage_options(StorageSettings(options={"a": "plain", "b": SecretRef(env="PEGEL_TEST_STORAGE_KEY")}))
    for value in ("first", "second"):
        monkeypatch.setenv("PEGEL_TEST_STORAGE_KEY", value)
        assert current() == {"a": "plain", "b": value}
    monkeypatch.delenv("PEGEL_TEST_STORAGE_KEY")
    with pytest.raises(SettingsError, match="PEGEL_TEST_STORAGE_KEY"):
        current()


def test_entra_is_asked_for_the_storage_and_only_if_the_settings_say_so():
    credential = Credential()
    assert storage_options(StorageSettings(), credential)() == {}
    assert credential.asked == []
    assert storage_options(StorageSettings(entra=True), credential)() == {"bearer_token": "token-1"}
    assert credential.asked == [(SCOPE,)]


def test_a_token_is_kept_until_shortly_before_its_end():
    credential = Credential()
    current = storage_options(StorageSettings(entra=True), credential, lambda: credential.now)
    shown = []
    for seconds in (0, 1000, 3300, 3301, 3302, 6601):
        credential.now = 1_000_000.0 + seconds
        shown.append(current()["bearer_token"])
    assert shown == ["token-1", "token-1", "token-1", "token-2", "token-2", "token-2"]
    credential.now = 1_000_000.0 + 3301 + 3301
    assert current() == {"bearer_token": "token-3"}


def test_every_look_at_a_table_shows_the_token_of_that_moment(storage):
    credential = Credential()
    options = storage_options(abfss(storage.url, entra=True), credential, lambda: credential.now)
    tables = DeltaTables("abfss://pegel@account.dfs.core.windows.net/tables", options)
    assert tables.version("alerts") == -1
    credential.now += 3600
    assert tables.version("alerts") == -1
    assert storage.end() == {"Bearer token-1", "Bearer token-2"}


def test_the_tables_of_the_settings_show_the_secret_of_the_settings(storage, monkeypatch):
    monkeypatch.setenv("PEGEL_TEST_STORAGE_TOKEN", "from-the-vault")
    settings = abfss(storage.url, options={"bearer_token": SecretRef(env="PEGEL_TEST_STORAGE_TOKEN")})
    assert not open_tables(settings).exists("alerts")
    assert storage.end() == {"Bearer from-the-vault"}


def test_another_root_is_opened_with_the_same_options(tmp_path):
    settings = StorageSettings(root=str(tmp_path / "one"))
    assert open_tables(settings, str(tmp_path / "other")).uri("alerts") == f"{tmp_path}/other/alerts"


def test_a_credential_that_gives_nothing_is_said_as_a_trouble_of_the_storage():
    class Refused:
        def get_token(self, *_scopes: str, **_options: Any) -> Any:
            msg = "no identity is assigned"
            raise RuntimeError(msg)

    tables = DeltaTables("abfss://p@a.dfs.core.windows.net/t", storage_options(StorageSettings(entra=True), Refused()))
    with pytest.raises(OutsideError, match="no identity is assigned"):
        tables.read("alerts")


def test_an_open_table_is_opened_again_when_the_options_change(tmp_path):
    given = {"timeout": "30s"}
    tables = DeltaTables(str(tmp_path), lambda: given)
    tables.create("alerts")
    assert tables.version("alerts") == 0
    first = tables._open["alerts"]
    assert tables.version("alerts") == 0
    assert tables._open["alerts"] is first
    given = {"timeout": "31s"}
    assert tables.version("alerts") == 0
    assert tables._open["alerts"] is not first
