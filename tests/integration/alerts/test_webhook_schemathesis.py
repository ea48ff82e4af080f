"""Schemathesis tries the webhook by a description that is published nowhere: in process, with a good token."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig

from pegel.alerts.webhook.app import create_app
from pegel.alerts.webhook.intake import Intake
from pegel.conf.bearer_token import TokenCheck

CALL = ("POST", "/alerts/azure")
EXAMPLES = 40
GENERATION = GenerationConfig(max_examples=EXAMPLES, deterministic=True, database="none")
CONFIG = SchemathesisConfig(projects=ProjectsConfig(default=ProjectConfig(generation=GENERATION)), seed=7)
ALLOWED, NOT_ALLOWED = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE


@pytest.fixture
def description(monitor: Any, tables: Any, webhook_settings: Any, row: Any) -> Any:
    tables.append("alerts", [row(1)])
    app = create_app(Intake(tables, ("pegel-retrain",)), TokenCheck(webhook_settings(monitor)))
    found = schemathesis.openapi.from_dict(app.openapi(), config=CONFIG)
    found.app = app
    return found


@pytest.fixture
def headers(monitor: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {monitor.tokens.issue()}"}


def test_every_operation_of_the_description_is_tried(description: Any) -> None:
    labels = {operation.ok().label for operation in description.get_all_operations()}
    assert labels == {" ".join(CALL), "GET /health"}


@pytest.mark.parametrize(
    ("method", "path", "mode"), [(*CALL, ALLOWED), (*CALL, NOT_ALLOWED), ("GET", "/health", ALLOWED)]
)
def test_the_webhook_does_what_its_description_says(
    description: Any, headers: dict[str, str], method: str, path: str, mode: Any
) -> None:
    operation = description[path][method]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    def tried(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=headers)

    tried()


@pytest.mark.parametrize(("method", "path"), [CALL, ("GET", "/health")])
def test_the_webhook_does_so_at_every_boundary(
    description: Any, headers: dict[str, str], method: str, path: str
) -> None:
    cases = description.iter_coverage_cases(
        description[path][method], generation_modes=[ALLOWED, NOT_ALLOWED], generation_config=GENERATION
    )
    for case in cases:
        case.call_and_validate(headers=headers)
