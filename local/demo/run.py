"""The demo from start to end: wire every service, let the drift begin, wait for the loop to close. Edge."""

import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from pegel.conf.loading import load_settings, packaged
from pegel.conf.settings import Settings
from pegel.lifecycle.first_version import AUDIT_WRITER
from pegel.lifecycle.labelled_text import LabelledText
from pegel.lifecycle.registration import register_first
from pegel.lifecycle.registry import Registry
from pegel.local.azure_monitor import LocalAzureMonitor
from pegel.local.azure_monitor.local_azure_monitor import DATA_RULE
from pegel.local.azure_monitor.rules import FIRED
from pegel.local.databricks_jobs import LocalJob, LocalJobs
from pegel.local.demo.faults import (
    BAD_CHALLENGER,
    DATA_FAULT,
    FLAPPING,
    HARMLESS_SHIFT,
    JOBS_REFUSED,
    WEBHOOK_DOWN,
    has_drifted,
    has_given_up,
)
from pegel.local.demo.model import KEY, TEXT_CLASSIFIER, local_resource, model_settings
from pegel.local.demo.queries import Query, QueryPool
from pegel.local.demo.services import Services, free_port, require_free
from pegel.local.demo.story import OPEN, TIMED_OUT, Outcome, Story
from pegel.local.demo.traffic import Traffic, TrafficPlan
from pegel.local.eventhubs.server import EMULATOR_KEY, EMULATOR_KEY_NAME, connection_string
from pegel.schemas.diagnosis import Cause
from pegel.tables.audit import AuditTrail
from pegel.tables.delta import DeltaTables

RETRAIN_JOB_ID = 1
API_KEY = "PEGEL_DEMO_KEY"
"""Where ``demo-policy.yml`` finds the key of the demo's users."""

LOOK_SECONDS = 0.3
START_SECONDS = 120.0
DRAIN_SECONDS = 45


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """What the demo is asked for.

    Attributes:
        pool: the queries.
        traffic: how much is asked.
        folder: where everything of this run lies; emptied first.
        exit: whether to stop by itself when the loop has closed.
        quiet_seconds: usual traffic before the drift begins.
        limit_seconds: after so long the run ends as TIMED_OUT.
        dashboard_port: where the dashboard listens.
        fault: what goes wrong, one of ``faults.FAULTS``, or None.
        model: what is monitored, one of ``model.MODELS``.
    """

    pool: QueryPool
    traffic: TrafficPlan
    folder: Path
    exit: bool
    quiet_seconds: float
    limit_seconds: float
    dashboard_port: int
    fault: str | None = None
    model: str = TEXT_CLASSIFIER


@dataclass(slots=True)
class Demo:
    """One run. ``tell`` is called with the time, a title and details of each turn."""

    plan: DemoPlan
    tell: Callable[[datetime, str, str], None]

    def run(self) -> Outcome:
        """Run until the loop has closed, the limit has passed, or Ctrl-C; everything is stopped in any case.

        Raises:
            OutsideError: if a port is taken or a service ends before its time.
        """
        require_free(self.plan.dashboard_port, "the dashboard")
        shutil.rmtree(self.plan.folder, ignore_errors=True)
        folder = self.plan.folder.resolve()
        folder.mkdir(parents=True)
        ports = {name: free_port() for name in ("hub", "serve", "webhook")}
        tokens = {name: secrets.token_urlsafe(24) for name in ("monitor", "jobs", "users", "openai")}
        monitor = LocalAzureMonitor(
            folder / "azure-monitor",
            tokens["monitor"],
            f"http://127.0.0.1:{ports['webhook']}/alerts/azure",
            evaluation_seconds=0.5,
        )
        config = folder / "demo.yml"
        jobs = LocalJobs(
            {RETRAIN_JOB_ID: _retrain_job(config)},
            tokens["jobs"],
            refuse=self.plan.fault == JOBS_REFUSED,
            folder=folder / "job-runs",
        )
        resource = local_resource(self.plan.model, tokens["openai"])
        shipped = _settings(folder, ports, self.plan.dashboard_port, monitor, jobs)
        config.write_text(yaml.safe_dump(shipped | model_settings(resource)), encoding="utf-8")
        environ = {
            "PEGEL_EVENTHUBS_CONNECTION_STRING": connection_string(ports["hub"], EMULATOR_KEY_NAME, EMULATOR_KEY),
            "PEGEL_AZURE_MONITOR_TOKEN": tokens["monitor"],
            "PEGEL_DATABRICKS_TOKEN": tokens["jobs"],
            API_KEY: tokens["users"],
            KEY: tokens["openai"],
        }
        os.environ.update(environ)  # the job runs and the traffic need them too
        services = Services(folder / "logs", environ)
        try:
            monitor.start()
            jobs.start()
            if resource is not None:
                resource.start()
            return self._run(load_settings(str(config), environ={}), services, _Wires(config, ports["hub"], monitor))
        finally:
            services.stop()
            jobs.stop()
            monitor.stop()
            if resource is not None:
                resource.stop()

    def _run(self, settings: Settings, services: Services, wires: "_Wires") -> Outcome:
        tables = DeltaTables(settings.storage.root)
        self._say("starting", f"hub, stream, serving, webhook, delivery; logs in {services.folder}")
        source = settings.source
        services.start(
            "eventhubs", "--port", str(wires.hub_port), "--data", str(self.plan.folder.resolve() / "hub"),
            "--hub", f"{source.predictions_hub}:2", "--hub", f"{source.feedback_hub}:1",
        )  # fmt: skip
        services.wait_for_port(wires.hub_port, "the event hub")
        services.start("stream", "--config", str(wires.config))
        self._register_champion(settings, tables)
        late = {"webhook"} if self.plan.fault == WEBHOOK_DOWN else set()
        for name in ("serve", "webhook", "deliver", "dashboard"):
            if name not in late:
                services.start(name, "--config", str(wires.config))
        serving = f"http://127.0.0.1:{settings.serving.port}"
        services.wait_for(f"{serving}/health", "serving")
        if not late:
            services.wait_for(f"http://127.0.0.1:{settings.webhook.port}/health", "the webhook")
        services.wait_for(f"http://127.0.0.1:{settings.dashboard.port}/health", "the dashboard")
        self._say("dashboard", f"http://127.0.0.1:{settings.dashboard.port}")
        services.wait_until(lambda: tables.exists("alerts"), "the stream made its tables", START_SECONDS)
        traffic = Traffic(
            self.plan.pool, self.plan.traffic, serving, os.environ["PEGEL_EVENTHUBS_CONNECTION_STRING"],
            source.predictions_hub, settings.model.name, os.environ[API_KEY],
        )  # fmt: skip
        traffic.start()
        try:
            return self._watch(services, Story(tables, self.tell), traffic, wires)
        finally:
            traffic.stop()

    def _watch(self, services: Services, story: Story, traffic: Traffic, wires: "_Wires") -> Outcome:
        mix = self.plan.traffic
        self._say("usual traffic", f"{mix.per_second:.0f} queries a second through /predict")
        services.wait_until(
            lambda: story.tables.version("batches") > 0, "the first micro-batch was stored", START_SECONDS
        )
        begin, state = time.monotonic(), None
        try:
            while state is None or not self.plan.exit:
                services.check()
                if story.onset is None and time.monotonic() >= begin + self.plan.quiet_seconds:
                    story.onset = self._begin(traffic)
                story.look()
                self._let_go_wrong(services, story, traffic, wires)
                if state is None:
                    late = time.monotonic() > begin + self.plan.limit_seconds
                    state = story.state or (TIMED_OUT if late else None)
                    if state is not None and not self.plan.exit:
                        self._say("loop ended", f"{state}; the traffic goes on, Ctrl-C stops all of it")
                time.sleep(LOOK_SECONDS)
        except KeyboardInterrupt:
            state = state or OPEN
        traffic.stop()
        services.stop("serve")  # as it stops, its producer sends what it still holds
        _drain(services, story, traffic)
        return story.outcome(traffic.sent, state or OPEN)

    def _begin(self, traffic: Traffic) -> datetime:
        """Let happen what the incident is to come from; gives the onset."""
        if self.plan.fault == DATA_FAULT:
            traffic.fields_are_lost = True
            self._say("data breaks", "an app records answers and leaves out what was asked")
        elif self.plan.fault == HARMLESS_SHIFT:
            traffic.queries_are_long = True
            self._say("inputs move", "users ask the longer ones of their usual queries")
        else:
            mix = self.plan.traffic
            traffic.has_drifted = True
            self._say("drift begins", f"{mix.novel_share:.0%} new domain, {mix.outside_share:.0%} out of scope")
        return datetime.now(UTC)

    def _let_go_wrong(self, services: Services, story: Story, traffic: Traffic, wires: "_Wires") -> None:
        if self.plan.fault == BAD_CHALLENGER:
            traffic.answers_are_bad = story.promoted
        if self.plan.fault == FLAPPING and story.onset is not None:
            traffic.has_drifted = has_drifted(story.onset, datetime.now(UTC))
        if traffic.fields_are_lost and _has_fired(wires.monitor, DATA_RULE, story.incident_id):
            traffic.fields_are_lost = False
            self._say("data owner paged", f"{DATA_RULE} fired; the app is mended")
        if traffic.queries_are_long and story.cause == Cause.HARMLESS_SHIFT:
            traffic.queries_are_long = False
            self._say("inputs move back", "nobody had to do anything")
        if self.plan.fault == WEBHOOK_DOWN and "webhook" not in services.running and has_given_up(wires.monitor.calls):
            services.start("webhook", "--config", str(wires.config))
            self._say("webhook started", "the action group has given up calling it")

    def _register_champion(self, settings: Settings, tables: DeltaTables) -> None:
        pool = self.plan.pool
        with closing(AuditTrail(tables, AUDIT_WRITER, settings.audit_spool)) as trail:
            made = register_first(
                Registry(settings),
                tables,
                _labelled(pool.training),
                _labelled(pool.validation),
                source=f"{len(pool.validation)} validation queries of the usual domains",
                alias_champion=True,
                trail=trail,
            )
        right = sum(a.output == q.label for a, q in zip(made.validation, pool.validation, strict=True))
        share = right / len(pool.validation)
        self._say(
            "baseline learned",
            f"version {made.version}: {len(pool.training)} queries trained on, right in {share:.1%} of "
            f"{len(pool.validation)} others; baseline {made.baseline_id}",
        )

    def _say(self, title: str, details: str) -> None:
        self.tell(datetime.now(UTC), title, details)


@dataclass(frozen=True, slots=True)
class _Wires:
    """What the run needs of what :meth:`Demo.run` laid."""

    config: Path
    hub_port: int
    monitor: LocalAzureMonitor


def _has_fired(monitor: LocalAzureMonitor, rule: str, incident_id: str | None) -> bool:
    return any(
        one.rule == rule and one.condition == FIRED and one.incident_id == incident_id for one in monitor.transitions
    )


def _settings(
    folder: Path, ports: Mapping[str, int], dashboard_port: int, monitor: LocalAzureMonitor, jobs: LocalJobs
) -> dict[str, Any]:
    """The shipped settings of the demo, with the addresses and folders of this run."""
    base: dict[str, Any] = yaml.safe_load(packaged("demo.yml"))
    run: dict[str, dict[str, Any]] = {
        "storage": {"root": str(folder / "tables")},
        "mlflow": {
            "tracking_uri": f"sqlite:///{folder / 'mlflow.db'}",
            "artifact_location": (folder / "mlflow-artifacts").as_uri(),
        },
        "serving": {"port": ports["serve"], "spool": str(folder / "spool")},
        "dashboard": {"port": dashboard_port},
        "delivery": {
            "azure_monitor": {
                "endpoint": monitor.endpoint,
                "rule_id": monitor.rule_id,
                "stream_name": monitor.stream_name,
                "ca_file": monitor.ca_file,
                "token": {"env": "PEGEL_AZURE_MONITOR_TOKEN"},
            }
        },
        "webhook": {
            "port": ports["webhook"],
            "jwks_url": monitor.jwks_url,
            "jwks_ca_file": monitor.ca_file,
            "issuer": monitor.issuer,
            "audience": monitor.audience,
        },
        "databricks": {
            "host": jobs.host,
            "token": {"env": "PEGEL_DATABRICKS_TOKEN"},
            "retrain_job_id": RETRAIN_JOB_ID,
        },
    }
    return {name: {**base.get(name, {}), **run.get(name, {})} for name in {**base, **run}}


def _retrain_job(config: Path) -> LocalJob:
    command = [
        sys.executable, "-m", "pegel.jobs.retrain", "--config", str(config),
        "--incident", "{{job.parameters.incident_id}}",
    ]  # fmt: skip
    return LocalJob(command, {"incident_id": ""})


def _labelled(queries: Sequence[Query]) -> list[LabelledText]:
    return [LabelledText(query.text, query.label) for query in queries]


def _drain(services: Services, story: Story, traffic: Traffic) -> None:
    """Wait until everything that was sent is counted in the tables."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while sum(story.counts()) < traffic.sent and time.monotonic() < deadline:
        services.check()
        time.sleep(LOOK_SECONDS)
    story.look()
