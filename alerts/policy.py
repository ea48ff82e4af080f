"""Reading an alert policy and refusing what cannot be meant. Edge: reads one file."""

import math
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pegel.conf.loading import read_text
from pegel.errors import SettingsError
from pegel.schemas import metric_names
from pegel.schemas.health import HORIZON_SECONDS, SILENT
from pegel.schemas.policy import BESIDE_KINDS, PIPELINE_KINDS, Action, DiagnosisPolicy, Policy, Rule, RuleKind

_JUDGED = {RuleKind.RATE: metric_names.RATES, RuleKind.QUALITY: metric_names.QUALITY}
"""What a rule of these kinds may name as its columns."""

_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]


class _RuleInFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: _Name
    kind: RuleKind
    columns: str | list[str] = "*"
    minimum_effect: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    severity: Annotated[int, Field(ge=0, le=4)]
    action: Action
    runbook: Annotated[str, Field(pattern=r"^[a-z0-9_-]+\.md$")]
    for_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    limit: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0

    @field_validator("columns")
    @classmethod
    def _some(cls, value: str | list[str]) -> str | list[str]:
        if value == "*" or (isinstance(value, list) and value):
            return value
        msg = "columns is '*' for all, or a list with at least one name"
        raise ValueError(msg)

    def record(self) -> Rule:
        columns: tuple[str, ...] | Literal["*"] = tuple(self.columns) if isinstance(self.columns, list) else "*"
        return Rule(
            self.name,
            self.kind,
            columns,
            self.minimum_effect,
            self.severity,
            self.action,
            self.runbook,
            self.for_seconds,
            self.limit,
        )


_SHIPPED = DiagnosisPolicy()


class _DiagnosisInFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    data_owner: _Name = _SHIPPED.data_owner
    undiagnosed_may_retrain: bool = _SHIPPED.undiagnosed_may_retrain
    harmless_loss: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = _SHIPPED.harmless_loss

    def record(self) -> DiagnosisPolicy:
        return DiagnosisPolicy(self.data_owner, self.undiagnosed_may_retrain, self.harmless_loss)


class _PolicyInFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    alerts_per_month: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    uncalibrated_may_retrain: bool
    resolve_after_blocks: Annotated[int, Field(gt=0)]
    rules: Annotated[list[_RuleInFile], Field(min_length=1)]
    diagnosis: _DiagnosisInFile = _DiagnosisInFile()
    usage: Any = None
    """Who may ask for what; serving reads it, and the hash of the alert policy does not hold it."""

    @field_validator("rules")
    @classmethod
    def _distinct(cls, rules: list[_RuleInFile]) -> list[_RuleInFile]:
        names = [rule.name for rule in rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            msg = f"the rule {twice[0]!r} is there twice; incidents are named after rules, so each needs its own name"
            raise ValueError(msg)
        for rule in rules:
            if rule.kind in PIPELINE_KINDS | BESIDE_KINDS:
                _refuse_pipeline(rule)
            if rule.kind in _JUDGED:
                _refuse_rates(rule, _JUDGED[rule.kind])
            elif rule.columns != "*" and (named := set(rule.columns) & set(metric_names.RATES + metric_names.QUALITY)):
                kind = "rate" if named & set(metric_names.RATES) else "quality"
                msg = f"the rule {rule.name!r} names a rate, which only a rule of kind {kind} hears of"
                raise ValueError(msg)
        return rules


def _refuse_pipeline(rule: _RuleInFile) -> None:
    if rule.action is Action.RETRAIN:
        msg = (
            f"lost, refused and missing events cannot be mended by a retraining; the rule {rule.name!r} of kind "
            f"{rule.kind} pages or does nothing"
        )
        raise ValueError(msg)
    if rule.kind is not RuleKind.CONSERVATION and rule.for_seconds <= 0:
        msg = f"the rule {rule.name!r} of kind {rule.kind} does not say for_seconds, the time that it looks at"
        raise ValueError(msg)
    if rule.kind in PIPELINE_KINDS and rule.for_seconds > HORIZON_SECONDS:
        msg = (
            f"the rule {rule.name!r} of kind {rule.kind} looks at {rule.for_seconds:g} s, but only the last "
            f"{HORIZON_SECONDS} s are remembered, so it would never ring; make for_seconds shorter"
        )
        raise ValueError(msg)
    if rule.kind is RuleKind.NO_DATA and rule.columns != "*" and not set(rule.columns) <= set(SILENT):
        msg = f"the columns of the rule {rule.name!r} of kind no_data say whose silence it is about, of {SILENT}"
        raise ValueError(msg)
    if rule.kind is RuleKind.DEAD_LETTERS and not 0 < rule.limit < 1:
        msg = f"the limit of the rule {rule.name!r} is the share of events that may be refused, between 0 and 1"
        raise ValueError(msg)


def _refuse_rates(rule: _RuleInFile, known: tuple[str, ...]) -> None:
    if rule.kind is RuleKind.RATE and rule.action is Action.RETRAIN:
        msg = f"no retraining mends calls that fail or break off; the rule {rule.name!r} of kind rate must ask for none"
        raise ValueError(msg)
    if rule.minimum_effect > math.pi:
        msg = f"the minimum_effect of the rule {rule.name!r} is Cohen's h, which is never larger than 3.14"
        raise ValueError(msg)
    unknown = sorted(set(rule.columns) - set(known)) if rule.columns != "*" else []
    if unknown:
        msg = f"{unknown[0]!r} is no rate that is judged; the columns of a rule of kind {rule.kind} are of {known}"
        raise ValueError(msg)


def load_policy(path: str) -> Policy:
    """Read a policy.

    Args:
        path: a YAML file, or the name of one that ships with Pegel (``policy.yml``, ``demo-policy.yml``).

    Raises:
        SettingsError: if the file is missing, is no YAML, or says something that is refused.
    """
    try:
        found = _PolicyInFile.model_validate(yaml.safe_load(read_text(path)))
    except yaml.YAMLError as error:
        msg = f"the policy {path} is not valid YAML: {error}"
        raise SettingsError(msg) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the whole file"
        msg = f"the policy {path} is refused at {key}: {first['msg'].removeprefix('Value error, ')}"
        raise SettingsError(msg) from error
    return Policy(
        found.alerts_per_month,
        found.uncalibrated_may_retrain,
        found.resolve_after_blocks,
        tuple(rule.record() for rule in found.rules),
        found.diagnosis.record(),
    )
