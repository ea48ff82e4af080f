"""The section ``usage`` of a policy file: read strictly, and what cannot be meant is refused. Edge: reads one file.

Keys are only referred to here. Serving reads them (:mod:`pegel.serving.usage`); whoever only tells people about the
policy, as a model card does, needs none.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pegel.conf.loading import read_text
from pegel.conf.secret_ref import SecretRef
from pegel.errors import SettingsError
from pegel.schemas.phrases import PhraseFinder
from pegel.schemas.usage_policy import ANONYMOUS, CallerRule, ContentRule, ForbiddenUse, Risk, Side, UsagePolicy

SECTION = "usage"

_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
_Sentence = Annotated[str, Field(min_length=1, max_length=500)]
_RiskName = Literal["low", "medium", "high"]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _InFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Purpose(_InFile):
    risk: _RiskName = "low"


class _ForbiddenUse(_InFile):
    name: _Name
    says: _Sentence


class _Content(_InFile):
    name: _Name
    phrases: Annotated[list[str], Field(min_length=1)]
    looks_at: Side = Side.INPUT
    forbids: bool = False
    risk: _RiskName = "low"
    says: _Sentence

    @model_validator(mode="after")
    def _means_something(self) -> "_Content":
        PhraseFinder(self.phrases)
        if not self.forbids and self.risk == "low":
            msg = f"the content rule {self.name!r} neither forbids nor raises the risk, so it does nothing"
            raise ValueError(msg)
        return self


class CallerInFile(_InFile):
    """A caller as the file names it: what it may do, and by what it is known."""

    name: _Name
    keys: list[SecretRef | _Sha256] = Field(default_factory=list)
    """Where each of its keys lies, or the SHA-256 of one in hexadecimal."""
    app_ids: list[str] = Field(default_factory=list)
    roles: list[str] = Field(default_factory=list)
    models: Annotated[list[str], Field(min_length=1)]
    purposes: Annotated[list[_Name], Field(min_length=1)]
    requests_per_minute: Annotated[int, Field(gt=0)]


class _Review(_InFile):
    review_from: _RiskName | None = None
    withhold_from: _RiskName | None = None


class _Section(_InFile):
    disclosure: _Sentence
    purposes: dict[_Name, _Purpose] = Field(default_factory=dict)
    forbidden_uses: list[_ForbiddenUse] = Field(default_factory=list)
    callers: list[CallerInFile] = Field(default_factory=list)
    content: list[_Content] = Field(default_factory=list)
    review: _Review = _Review()

    @model_validator(mode="after")
    def _consistent(self) -> "_Section":
        for what, names in (
            ("caller", [caller.name for caller in self.callers]),
            ("content rule", [rule.name for rule in self.content]),
            ("purpose", [*self.purposes, *(use.name for use in self.forbidden_uses)]),
        ):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                msg = f"the {what} {twice[0]!r} is there twice; say once what holds for it"
                raise ValueError(msg)
        for caller in self.callers:
            self._check_caller(caller)
        return self

    def _check_caller(self, caller: CallerInFile) -> None:
        if caller.name == ANONYMOUS:
            msg = f"no caller may be called {ANONYMOUS!r}: that is who asks while the policy names no caller"
            raise ValueError(msg)
        if unknown := sorted(set(caller.purposes) - set(self.purposes)):
            msg = f"the caller {caller.name!r} has the purpose {unknown[0]!r}, which is not in usage.purposes"
            raise ValueError(msg)
        if not (caller.keys or caller.app_ids or caller.roles):
            msg = f"the caller {caller.name!r} has neither keys nor app_ids nor roles, so nobody could ever be it"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a policy file says about usage; the callers' keys are not read yet."""

    policy: UsagePolicy
    callers: tuple[CallerInFile, ...] = ()


def read_usage(path: str) -> Usage:
    """Read and check the section ``usage`` of a policy file.

    Args:
        path: a YAML file, or the name of one that ships with Pegel. Without the section ``usage`` it says nothing.

    Raises:
        SettingsError: if the file is missing, is no YAML, holds no sections, or says something that is refused.
    """
    try:
        content: Any = yaml.safe_load(read_text(path)) or {}
    except yaml.YAMLError as error:
        msg = f"the policy {path} is not valid YAML: {' '.join(str(error).split())}"
        raise SettingsError(msg) from error
    if not isinstance(content, dict):
        msg = f"the policy {path} must hold sections such as 'rules:' at its top, not a {type(content).__name__}"
        raise SettingsError(msg)
    if SECTION not in content:
        return Usage(UsagePolicy())
    try:
        found = _Section.model_validate(content[SECTION])
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join([SECTION, *(str(part) for part in first["loc"])])
        # pydantic would name a class of this module here.
        no_keys = first["type"] == "model_type"
        what = "it must hold keys and values" if no_keys else first["msg"].removeprefix("Value error, ")
        msg = f"the policy {path} is refused at {key}: {what}; see conf/policy.yml for its form"
        raise SettingsError(msg) from error
    return Usage(_policy(found), tuple(found.callers))


def _policy(found: _Section) -> UsagePolicy:
    return UsagePolicy(
        disclosure=found.disclosure,
        purposes={name: Risk[purpose.risk.upper()] for name, purpose in found.purposes.items()},
        forbidden_uses=tuple(ForbiddenUse(use.name, use.says) for use in found.forbidden_uses),
        callers=tuple(
            CallerRule(c.name, tuple(c.models), tuple(c.purposes), c.requests_per_minute) for c in found.callers
        ),
        content=tuple(
            ContentRule(r.name, tuple(r.phrases), r.looks_at, r.forbids, Risk[r.risk.upper()], r.says)
            for r in found.content
        ),
        review_from=_risk(found.review.review_from),
        withhold_from=_risk(found.review.withhold_from),
    )


def _risk(name: str | None) -> Risk | None:
    return Risk[name.upper()] if name else None
