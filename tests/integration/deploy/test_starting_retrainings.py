"""What starts the retraining on Azure, against the local Jobs API with the job as the bundle declares it."""

import json
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from equipment.bundle import resolved_bundle

from pegel.alerts.retraining.trigger import DatabricksJobTrigger
from pegel.alerts.retraining.workspace import SCOPE
from pegel.conf.secret_ref import SecretRef
from pegel.conf.settings import DatabricksSettings
from pegel.local.databricks_jobs import LocalJob, LocalJobs

ROOT = Path(__file__).resolve().parents[3]
FACTORY = json.loads((ROOT / "conf" / "azure" / "datafactory.json").read_text(encoding="utf-8"))
KINDS = {resource["type"].rsplit("/", 1)[-1]: resource for resource in FACTORY["resources"]}
TOKEN = "token-of-the-workspace"
JOB_ID = 7


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_JOBS_TOKEN", TOKEN)
    declared = resolved_bundle()["resources"]["jobs"]["retrain"]
    (task,) = [task for task in declared["tasks"] if task["task_key"] == "for_incident"]
    write = [sys.executable, "-c", "import json, sys; print(json.dumps(sys.argv[1:]), flush=True)"]
    command = [*write, *task["python_wheel_task"]["parameters"]]
    parameters = {parameter["name"]: parameter["default"] for parameter in declared["parameters"]}
    served = LocalJobs({JOB_ID: LocalJob(command, parameters)}, TOKEN, folder=tmp_path / "runs")
    served.start()
    yield served
    served.stop()


def evaluated(expression: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    """What Data Factory makes of a text with ``@{…}`` in it; only the two forms that are used are known here."""
    assert expression["type"] == "Expression"

    def value(match: re.Match[str]) -> str:
        if known := re.fullmatch(r"pipeline\(\)\.parameters\.(\w+)", match[1]):
            return str(parameters[known[1]])
        dated = re.fullmatch(r"formatDateTime\(pipeline\(\)\.parameters\.(\w+), 'yyyyMMddHHmm'\)", match[1])
        assert dated, f"{match[1]} is not known here"
        return datetime.fromisoformat(parameters[dated[1]]).astimezone(UTC).strftime("%Y%m%d%H%M")

    return re.sub(r"@\{([^}]*)\}", value, expression["value"])


def start(jobs: LocalJobs, scheduled_time: str) -> httpx.Response:
    """What the pipeline does at a moment of its schedule, by its own URL and body."""
    given = {"databricksHost": jobs.host, "retrainJobId": JOB_ID, "scheduledTime": scheduled_time}
    (activity,) = KINDS["pipelines"]["properties"]["activities"]
    call = activity["typeProperties"]
    return httpx.request(
        call["method"],
        evaluated(call["url"], given),
        content=evaluated(call["body"], given),
        headers={**call["headers"], "Authorization": f"Bearer {TOKEN}"},
    )


def test_data_factory_starts_one_run_for_each_moment_of_the_schedule(jobs):
    first = start(jobs, "2027-01-03T03:00:00Z")
    assert first.status_code == 200, first.text
    # An activity that is tried again, and a window that is run again.
    assert start(jobs, "2027-01-03T03:00:00Z").json() == first.json()
    other = start(jobs, "2027-01-10T03:00:00Z")
    assert other.json()["run_id"] != first.json()["run_id"]
    assert [run.parameters for run in jobs.runs] == [{"incident_id": "none"}] * 2


def test_the_webhook_hands_its_incident_to_the_parameter_that_the_job_declares(jobs):
    settings = DatabricksSettings(host=jobs.host, token=SecretRef(env="TEST_JOBS_TOKEN"), retrain_job_id=JOB_ID)
    DatabricksJobTrigger(settings).start("0123456789abcdef")
    assert [run.parameters for run in jobs.runs] == [{"incident_id": "0123456789abcdef"}]


def test_the_template_is_of_the_versions_and_properties_that_data_factory_has():
    assert FACTORY["$schema"].endswith("/2019-04-01/deploymentTemplate.json#")
    assert {resource["apiVersion"] for resource in FACTORY["resources"]} == {"2018-06-01"}
    assert set(KINDS) == {"factories", "pipelines", "triggers"}
    assert KINDS["factories"]["identity"] == {"type": "SystemAssigned"}
    (activity,) = KINDS["pipelines"]["properties"]["activities"]
    assert activity["type"] == "WebActivity"
    assert activity["typeProperties"]["authentication"] == {"type": "MSI", "resource": SCOPE.removesuffix("/.default")}
    assert FACTORY["parameters"]["retrainJobId"]["type"] == "int"
    assert KINDS["pipelines"]["properties"]["parameters"]["retrainJobId"]["type"] == "Int"
    assert "defaultValue" not in KINDS["pipelines"]["properties"]["parameters"]["scheduledTime"]


def test_the_trigger_hands_its_moment_to_the_pipeline_that_is_there():
    trigger = KINDS["triggers"]["properties"]
    assert trigger["type"] == "ScheduleTrigger"
    (pipeline,) = trigger["pipelines"]
    assert KINDS["pipelines"]["name"].endswith(f"/{pipeline['pipelineReference']['referenceName']}')]")
    assert pipeline["parameters"] == {"scheduledTime": "@trigger().scheduledTime"}
    assert "runtimeState" not in trigger  # it starts by hand, once its identity has its right


def test_every_parameter_of_the_template_is_declared_and_used_and_no_output_is_a_secret():
    text = json.dumps(FACTORY["resources"]) + json.dumps(FACTORY["outputs"])
    used = set(re.findall(r"(?<![.\w])parameters\('(\w+)'\)", text))
    assert used == set(FACTORY["parameters"])
    assert set(FACTORY["outputs"]) == {"principalId"}
    assert not re.search(r"listKeys|secure|password|\"key\"", text, re.IGNORECASE)
