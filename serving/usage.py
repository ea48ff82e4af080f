"""Reading the section ``usage`` of a policy file, and refusing what cannot be meant. Edge: reads files and secrets."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pegel.conf.loading import read_text
from pegel.conf.secret_ref import SecretRef
from pegel.errors import SettingsError
from pegel.schemas.phrases import PhraseFinder
from pegel.schemas.usage_policy import ANONYMOUS, CallerRule, ContentRule, ForbiddenUse, Risk, Side, UsagePolicy

SECTION = "usage"
MIN_KEY_CHARACTERS = 32
"""A shorter key could be guessed from its hash."""

_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
_Sentence = Annotated[str, Field(min_length=1, max_length=500)]
_RiskName = Literal["low", "medium", "high"]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _InFile(BaseModel):
    model_config = ConfigDict(extra="forbid")


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


class _Caller(_InFile):
    name: _Name
    keys: list[SecretRef | _Sha256] = Field(default_factory=list)
    app_ids: list[str] = Field(default_factory=list)
    roles: list[str] = Field(default_factory=list)
    models: Annotated[list[str], Field(min_length=1)]
    purposes: Annotated[list[_Name], Field(min_length=1)]
    requests_per_minute: Annotated[int, Field(gt=0)]


class _Review(_InFile):
    review_from: _RiskName | None = None
    withhold_from: _RiskName | None = None


class _Usage(_InFile):
    disclosure: _Sentence
    purposes: dict[_Name, _Purpose] = Field(default_factory=dict)
    forbidden_uses: list[_ForbiddenUse] = Field(default_factory=list)
    callers: list[_Caller] = Field(default_factory=list)
    content: list[_Content] = Field(default_factory=list)
    review: _Review = _Review()

    @model_validator(mode="after")
    def _consistent(self) -> "_Usage":
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

    def _check_caller(self, caller: _Caller) -> None:
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
class Credentials:
    """By what callers are known: SHA-256 of keys, ids of Entra applications, roles of tokens; each -> caller."""

    keys: dict[bytes, str]
    app_ids: dict[str, str]
    roles: dict[str, str]

    @property
    def need_tokens(self) -> bool:
        """Whether some caller comes with an Entra token."""
        return bool(self.app_ids or self.roles)


def load_usage(path: str) -> tuple[UsagePolicy, Credentials]:
    """Read the usage policy of a file; keys are read once and only their hashes are kept.

    Args:
        path: a YAML file, or the name of one that ships with Pegel. Without the section ``usage`` it says nothing:
            everybody may ask on this machine, and nobody from elsewhere.

    Raises:
        SettingsError: if the file is missing, is no YAML, says something that is refused, or a key cannot be read.
    """
    try:
        content = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        msg = f"the policy {path} is not valid YAML: {error}"
        raise SettingsError(msg) from error
    if not isinstance(content, dict) or SECTION not in content:
        return UsagePolicy(), Credentials({}, {}, {})
    try:
        found = _Usage.model_validate(content[SECTION])
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join([SECTION, *(str(part) for part in first["loc"])])
        msg = f"the policy {path} is refused at {key}: {first['msg'].removeprefix('Value error, ')}"
        raise SettingsError(msg) from error
    return _policy(found), _credentials(found.callers)


def require_callers(host: str, policy: UsagePolicy) -> None:
    """See that nobody from elsewhere can ask unknown.

    Args:
        host: where serving is to listen.
        policy: the usage policy.

    Raises:
        SettingsError: if that is not loopback, and the policy names no caller.
    """
    if policy.callers or _is_loopback(host):
        return
    msg = (
        f"serving.host {host!r} can be reached from other machines, but the usage policy names no callers, so anybody "
        "could ask; name them under usage.callers, or listen on 127.0.0.1"
    )
    raise SettingsError(msg)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _policy(found: _Usage) -> UsagePolicy:
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


def _credentials(callers: Iterable[_Caller]) -> Credentials:
    made = Credentials({}, {}, {})
    for caller in callers:
        for key in caller.keys:
            _add(made.keys, _hash(key, caller.name), caller.name, "key")
        for app_id in caller.app_ids:
            _add(made.app_ids, app_id, caller.name, "app_id")
        for role in caller.roles:
            _add(made.roles, role, caller.name, "role")
    return made


def _add(into: dict[Any, str], what: bytes | str, caller: str, kind: str) -> None:
    if what in into:
        msg = f"the callers {into[what]!r} and {caller!r} share a {kind}; give each its own, or nobody knows who asked"
        raise SettingsError(msg)
    into[what] = caller


def _hash(key: SecretRef | str, caller: str) -> bytes:
    if isinstance(key, str):
        return bytes.fromhex(key)
    secret = key.read()
    if len(secret) < MIN_KEY_CHARACTERS:
        msg = f"the key of the caller {caller!r} has fewer than {MIN_KEY_CHARACTERS} characters; make a random one"
        raise SettingsError(msg)
    return hashlib.sha256(secret.encode()).digest()
