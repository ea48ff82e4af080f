"""The bundle: what the official package takes, what the wheel has, and what the jobs themselves understand."""

import copy
import importlib
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import setuptools
from databricks.bundles.jobs import Job
from equipment.bundle import GIVEN, REFERENCE, read_bundle, resolved_bundle

from pegel.conf.loading import load_settings
from pegel.jobs.wiring.arguments import JobArguments

ROOT = Path(__file__).resolve().parents[3]
BUNDLE = read_bundle()
JOBS: dict[str, dict[str, Any]] = resolved_bundle()["resources"]["jobs"]
STARTED = [(job, task) for job, of in JOBS.items() for task in of["tasks"] if "python_wheel_task" in task]
TASKS = [pytest.param(job, task, id=f"{job}-{task['task_key']}") for job, task in STARTED]
PARAMETER = re.compile(r"\{\{job\.parameters\.(\w+)\}\}", re.ASCII)


class _Understood(Exception):  # noqa: N818
    """A job has understood its arguments; nothing more is run."""

    def __init__(self, arguments: JobArguments) -> None:
        super().__init__()
        self.arguments = arguments


@pytest.fixture(scope="module")
def wheel():
    """What ``setup.py`` says of the wheel."""
    said: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", lambda **options: said.update(options))
        patch.chdir(ROOT)
        runpy.run_path(str(ROOT / "setup.py"))
    return said


def strings(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [text for key, value in node.items() for text in (key, *strings(value))]
    if isinstance(node, list):
        return [text for value in node for text in strings(value)]
    return [node] if isinstance(node, str) else []


def cluster_of(job: str, task: dict[str, Any]) -> dict[str, Any]:
    (cluster,) = [c for c in JOBS[job]["job_clusters"] if c["job_cluster_key"] == task["job_cluster_key"]]
    return cluster["new_cluster"]


@pytest.mark.parametrize("job", sorted(JOBS))
def test_a_job_is_one_that_the_official_package_takes(job):
    for source in (BUNDLE["resources"]["jobs"], JOBS):
        taken = Job.from_dict(copy.deepcopy(source[job]))
        assert len(taken.tasks) == len(source[job]["tasks"])


@pytest.mark.parametrize(
    "path",
    [
        (),
        ("continuous",),
        ("tasks", 0),
        ("tasks", 0, "python_wheel_task"),
        ("tasks", 0, "libraries", 0),
        ("job_clusters", 0, "new_cluster"),
        ("health", "rules", 0),
        ("email_notifications",),
    ],
)
def test_a_key_that_the_official_package_does_not_know_is_refused(path):
    job = copy.deepcopy(JOBS["stream"])
    place: Any = job
    for step in path:
        place = place[step]
    place["no_such_key"] = "x"
    with pytest.raises(ValueError, match="no_such_key"):
        Job.from_dict(job)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("health", "rules", 0, "metric"), "BACKLOG"),
        (("continuous", "task_retry_mode"), "SOMETIMES"),
        (("job_clusters", 0, "new_cluster", "data_security_mode"), "OPEN"),
        (("max_concurrent_runs",), "one"),
    ],
)
def test_a_value_that_the_official_package_does_not_know_is_refused(path, value):
    job = copy.deepcopy(JOBS["stream"])
    place: Any = job
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(ValueError, match=value):
        Job.from_dict(job)


def test_the_bundle_has_no_section_that_bundles_do_not_have():
    assert set(BUNDLE) == {"bundle", "artifacts", "variables", "resources", "targets"}
    assert set(BUNDLE["resources"]) == {"jobs"}
    assert {key for of in BUNDLE["variables"].values() for key in of} <= {"description", "default", "lookup", "type"}
    assert {key for of in BUNDLE["targets"].values() for key in of} <= {"mode", "default", "workspace", "run_as"}
    assert [(name, of["mode"]) for name, of in BUNDLE["targets"].items()] == [
        ("dev", "development"),
        ("prod", "production"),
    ]


def test_every_variable_that_is_used_is_declared_and_every_declared_one_is_used():
    used = {name for text in strings(BUNDLE) for name in REFERENCE.findall(text)}
    declared = {f"var.{name}" for name in BUNDLE["variables"]}
    assert used == declared | {"bundle.name", "bundle.target"}
    assert {name for name, of in BUNDLE["variables"].items() if "default" not in of} == set(GIVEN)


def test_the_jobs_and_their_clusters_are_those_that_pegel_needs():
    started = {(job, task["task_key"]): task["python_wheel_task"]["entry_point"] for job, task in STARTED}
    assert started == {
        ("stream", "stream"): "pegel-stream",
        ("stream", "deliver"): "pegel-deliver",
        ("retrain", "for_schedule"): "pegel-retrain",
        ("retrain", "for_incident"): "pegel-retrain",
        ("baseline", "baseline"): "pegel-build-baseline",
        ("maintenance", "maintenance"): "pegel-maintain",
    }
    for job, task in STARTED:
        cluster = cluster_of(job, task)
        # An identity of its own, which Unity Catalog asks for; and Spark has workers where events are counted.
        assert cluster["data_security_mode"] == "SINGLE_USER"
        one_machine = cluster["spark_conf"].get("spark.databricks.cluster.profile") == "singleNode"
        assert (cluster["num_workers"] == 0) == one_machine == (job != "stream")


@pytest.mark.parametrize("job", sorted(JOBS))
def test_a_job_is_started_in_one_way_and_runs_once_at_a_time(job):
    assert len({"continuous", "schedule", "trigger"} & set(JOBS[job])) <= 1
    assert JOBS[job]["max_concurrent_runs"] == 1
    assert JOBS[job]["email_notifications"]["on_failure"]
    declared = {parameter["name"] for parameter in JOBS[job].get("parameters", ())}
    assert {name for text in strings(JOBS[job]["tasks"]) for name in PARAMETER.findall(text)} == declared


def test_maintenance_comes_every_night_as_the_stream_whose_tables_it_keeps():
    (task,) = [task for job, task in STARTED if job == "maintenance"]
    stream = next(task for job, task in STARTED if job == "stream")
    who = "DATABRICKS_DEFAULT_SERVICE_CREDENTIAL_NAME"
    assert cluster_of("maintenance", task)["spark_env_vars"][who] == cluster_of("stream", stream)["spark_env_vars"][who]
    assert JOBS["maintenance"]["schedule"]["quartz_cron_expression"].endswith("* * ?")


def test_the_stream_never_ends_and_a_retraining_waits_for_the_one_before():
    assert JOBS["stream"]["continuous"]["pause_status"] == "UNPAUSED"
    assert {rule["metric"] for rule in JOBS["stream"]["health"]["rules"]} >= {"STREAMING_BACKLOG_SECONDS"}
    assert JOBS["stream"]["email_notifications"]["on_streaming_backlog_exceeded"]
    assert JOBS["retrain"]["queue"] == {"enabled": True}
    assert JOBS["retrain"]["schedule"]["timezone_id"] == "UTC"
    assert JOBS["retrain"]["schedule"]["pause_status"] == "UNPAUSED"
    # Quartz: seconds first, and one of day of month and day of week is a question mark.
    seconds, minutes, hours, day, month, week_day = JOBS["retrain"]["schedule"]["quartz_cron_expression"].split()
    assert (seconds, minutes, hours, month) == ("0", "0", "3", "*")
    assert [day, week_day].count("?") == 1


def test_a_retraining_is_for_an_incident_if_one_is_handed_over_and_by_schedule_else():
    tasks = {task["task_key"]: task for task in JOBS["retrain"]["tasks"]}
    (parameter,) = JOBS["retrain"]["parameters"]
    assert tasks["is_scheduled"]["condition_task"] == {
        "left": f"{{{{job.parameters.{parameter['name']}}}}}",
        "op": "EQUAL_TO",
        "right": parameter["default"],
    }
    outcomes = {key: task["depends_on"] for key, task in tasks.items() if "depends_on" in task}
    assert outcomes == {
        "for_schedule": [{"task_key": "is_scheduled", "outcome": "true"}],
        "for_incident": [{"task_key": "is_scheduled", "outcome": "false"}],
    }
    assert "--scheduled" in tasks["for_schedule"]["python_wheel_task"]["parameters"]
    assert "--incident" in tasks["for_incident"]["python_wheel_task"]["parameters"]


def test_nobody_but_the_webhook_is_given_a_right_and_that_is_to_start_the_retraining():
    assert {job: of["permissions"] for job, of in JOBS.items() if "permissions" in of} == {
        "retrain": [{"level": "CAN_MANAGE_RUN", "service_principal_name": GIVEN["webhook_client_id"]}]
    }


@pytest.mark.parametrize(("job", "task"), TASKS)
def test_a_task_installs_the_plain_wheel_and_nothing_else(job, task):
    assert task["libraries"] == [{"whl": "./dist/*.whl"}]
    assert BUNDLE["artifacts"]["pegel"]["type"] == "whl"
    assert cluster_of(job, task)["spark_version"] == GIVEN["spark_version"]


@pytest.mark.parametrize(("job", "task"), TASKS)
def test_a_secret_is_a_reference_and_no_value(job, task):
    environment = cluster_of(job, task)["spark_env_vars"]
    raw = {name for name in environment if re.search(r"KEY|SECRET|TOKEN|PASSWORD|CONNECTION", name)}
    assert raw <= {"PEGEL_OPENAI_API_KEY"}
    assert all(environment[name] == "" for name in raw), "a variable without a default, filled with {{secrets/…}}"


@pytest.mark.parametrize(("job", "task"), TASKS)
def test_a_task_starts_a_script_of_the_wheel_with_arguments_and_settings_that_its_job_takes(
    job, task, wheel, monkeypatch
):
    run = task["python_wheel_task"]
    assert run["package_name"] == wheel["name"]
    scripts = dict(line.split("=") for line in wheel["entry_points"]["console_scripts"])
    module_name, _, function = scripts[run["entry_point"]].partition(":")
    module = importlib.import_module(module_name)

    def understand(parser, argv):
        options = parser.parse_args(argv)
        raise _Understood(
            JobArguments(load_settings(options.config, options.overrides, environment), options.available_now, options)
        )

    environment = cluster_of(job, task)["spark_env_vars"]
    monkeypatch.setattr(module, "parse", understand)
    defaults = {parameter["name"]: parameter["default"] for parameter in JOBS[job].get("parameters", ())}
    arguments = [PARAMETER.sub(lambda match: defaults[match[1]], text) for text in run["parameters"]]
    with pytest.raises(_Understood) as understood:
        getattr(module, function)(arguments)
    settings = understood.value.arguments.settings
    assert settings.storage.root == GIVEN["tables_root"]
    assert settings.storage.entra
    assert settings.source.kind == "kafka"
    assert settings.source.kafka.bootstrap_servers == GIVEN["kafka_servers"]
    assert settings.source.kafka.service_credential == "pegel-stream"
    assert settings.source.eventhubs.namespace == GIVEN["eventhubs_host"]
    assert settings.delivery.azure_monitor.endpoint == GIVEN["ingestion_endpoint"]
    assert settings.delivery.azure_monitor.rule_id == GIVEN["ingestion_rule_id"]
    assert settings.model.name == GIVEN["model_name"]
    assert settings.mlflow.effective_registry_uri == "databricks-uc"
    with pytest.raises(SystemExit):
        getattr(module, function)([*arguments, "--no-such-argument"])


def test_the_files_of_the_deployment_come_with_the_wheel(wheel):
    conf = ROOT / "conf"
    shipped = {file for pattern in wheel["package_data"]["pegel.conf"] for file in conf.glob(pattern)}
    assert {file for file in conf.rglob("*") if file.suffix in (".kql", ".bicep", ".json", ".yml")} == shipped


def test_settings_for_azure_lead_nowhere_until_they_are_told_where():
    settings = load_settings("azure.yml", environ={})
    assert "ACCOUNT" in settings.storage.root
    assert "NAMESPACE" in settings.source.kafka.bootstrap_servers
    assert settings.delivery.sinks == ("azure_monitor",)
    assert settings.mlflow.tracking_uri == "databricks"
    assert settings.databricks.entra
    assert settings.openai.entra
