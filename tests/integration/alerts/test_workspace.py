"""The real databricks-sdk asks as an identity of Entra; the SDK itself has no way for a managed identity."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from databricks.sdk.errors import PermissionDenied, Unauthenticated

from pegel.alerts.retraining.workspace import SCOPE, connect
from pegel.conf.settings import DatabricksSettings
from pegel.local.databricks_jobs import LocalJob, LocalJobs

TOKEN = "token-of-entra"


class Credential:
    """A managed identity that Entra gives a token to."""

    def __init__(self, token: str) -> None:
        self.token, self.scopes = token, set[str]()

    def get_token(self, *scopes: str, **_options: Any) -> Any:
        self.scopes |= set(scopes)
        return SimpleNamespace(token=self.token)


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch):
    for name in ("DATABRICKS_HOST", "DATABRICKS_TOKEN", "DATABRICKS_CONFIG_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    served = LocalJobs({1: LocalJob([sys.executable, "-c", ""])}, TOKEN, folder=tmp_path / "runs")
    served.start()
    yield served
    served.stop()


def test_an_identity_starts_the_job_with_a_token_for_databricks(jobs):
    credential = Credential(TOKEN)
    client = connect(DatabricksSettings(host=jobs.host, entra=True), credential)
    assert client.jobs.run_now(1).run_id == jobs.runs[0].run_id
    assert credential.scopes == {SCOPE}
    assert client.config.auth_type == "pegel-entra"


def test_an_identity_that_the_workspace_does_not_know_is_refused(jobs):
    client = connect(DatabricksSettings(host=jobs.host, entra=True), Credential("of-somebody-else"))
    with pytest.raises((PermissionDenied, Unauthenticated)):
        client.jobs.run_now(1)
    assert jobs.runs == []
