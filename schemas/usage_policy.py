"""What a usage policy is and what follows from it: who may ask which model for what, and what answers become. Pure.

Two questions are decided. :meth:`UsagePolicy.refuse_caller` and :meth:`UsagePolicy.refuse_text`: may it be asked at
all? :meth:`UsagePolicy.judge`: may the answer go out, and must a person look at it? The risk of an answer is the
highest of its purpose and of the content rules that match its input or output.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum, StrEnum
from functools import cached_property

from pegel.schemas.phrases import PhraseFinder, words_of

ANY = "*"
ANONYMOUS = "anonymous"
"""The caller of a policy that names none; it may ask any model for any purpose that is not forbidden."""


class Risk(IntEnum):
    """How much harm a wrong answer may do."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3


class Side(StrEnum):
    """What a content rule looks at."""

    INPUT = "input"
    OUTPUT = "output"


class Review(StrEnum):
    """What a person has to do with an answer."""

    REQUIRED = "required"
    """The answer went out; a person looks at it afterwards."""
    WITHHELD = "withheld"
    """The answer waits in the table of predictions until a person has looked at it."""


class Reason(StrEnum):
    """Why a request is refused by the policy."""

    MODEL = "model_not_allowed"
    PURPOSE = "purpose_not_allowed"
    FORBIDDEN_USE = "forbidden_use"
    FORBIDDEN_CONTENT = "forbidden_content"


@dataclass(frozen=True, slots=True)
class ForbiddenUse:
    """A purpose that nobody has. ``says`` is the sentence that people read."""

    name: str
    says: str


@dataclass(frozen=True)
class ContentRule:
    """Words that forbid a request or raise the risk of its answer.

    Attributes:
        name: its name, in answers and in the audit trail.
        phrases: words and phrases, see :mod:`pegel.schemas.phrases`.
        side: what it looks at.
        forbids: whether the request is refused (input) or the answer withheld (output).
        risk: what the risk of an answer is at least, where the rule matches and does not forbid.
        says: the sentence that people read.
    """

    name: str
    phrases: tuple[str, ...]
    side: Side
    forbids: bool
    risk: Risk
    says: str

    @cached_property
    def finder(self) -> PhraseFinder:
        """What looks for the phrases."""
        return PhraseFinder(self.phrases)


@dataclass(frozen=True, slots=True)
class CallerRule:
    """What one caller may do.

    Attributes:
        name: its name.
        models: of the registered models that it may ask; ``("*",)`` is all.
        purposes: what it may ask for; the first is meant if a request names none.
        requests_per_minute: texts in a minute; as many at once, if it was quiet before. None is no limit.
    """

    name: str
    models: tuple[str, ...]
    purposes: tuple[str, ...]
    requests_per_minute: int | None


@dataclass(frozen=True, slots=True)
class Denial:
    """Why the policy refuses. ``rule`` names the rule or purpose; ``says`` is one sentence."""

    reason: Reason
    rule: str
    says: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """What becomes of an answer. ``rules`` are the content rules that matched."""

    risk: Risk
    review: Review | None
    rules: tuple[str, ...]


@dataclass(frozen=True)
class UsagePolicy:
    """The whole policy.

    Attributes:
        disclosure: the text that goes with each answer.
        purposes: what models may be used for, and the risk of it.
        forbidden_uses: what they may not be used for.
        callers: who may ask; without any, everybody is :data:`ANONYMOUS`.
        content: the content rules.
        review_from: from this risk on a person looks at the answer; None is never.
        withhold_from: from this risk on the answer waits for that person; None is never.
    """

    disclosure: str = ""
    purposes: Mapping[str, Risk] = field(default_factory=dict)
    forbidden_uses: tuple[ForbiddenUse, ...] = ()
    callers: tuple[CallerRule, ...] = ()
    content: tuple[ContentRule, ...] = ()
    review_from: Risk | None = Risk.HIGH
    withhold_from: Risk | None = None

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits that name the content; comments and the order of keys in the file do not matter."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def may_hold_back(self) -> bool:
        """Whether an answer may have to be withheld, so that none may go out piece by piece."""
        return self.withhold_from is not None or any(r.forbids for r in self.content if r.side is Side.OUTPUT)

    def caller(self, name: str) -> CallerRule:
        """The rule of a caller; of :data:`ANONYMOUS`, if the policy names none.

        Raises:
            KeyError: if the policy names callers, and not this one.
        """
        for rule in self.callers:
            if rule.name == name:
                return rule
        if name == ANONYMOUS and not self.callers:
            return CallerRule(ANONYMOUS, (ANY,), (), None)
        raise KeyError(name)

    def refuse_caller(self, caller: CallerRule, model: str, purpose: str | None) -> Denial | None:
        """Why a caller may not ask a model for a purpose; None if it may.

        Example:
            >>> policy = UsagePolicy(purposes={"support": Risk.LOW}, forbidden_uses=(ForbiddenUse("scoring", "No."),))
            >>> shop = CallerRule("shop", ("assistant",), ("support",), 60)
            >>> policy.refuse_caller(shop, "assistant", None) is None
            True
            >>> policy.refuse_caller(shop, "assistant", "scoring").reason.value
            'forbidden_use'
        """
        for use in self.forbidden_uses:
            if purpose == use.name:
                return Denial(Reason.FORBIDDEN_USE, use.name, use.says)
        if ANY not in caller.models and model not in caller.models:
            says = f"the caller {caller.name!r} may not ask the model {model!r}; the usage policy lists its models"
            return Denial(Reason.MODEL, model, says)
        allowed = caller.purposes if self.callers else tuple(self.purposes)
        if purpose is not None and purpose not in allowed:
            says = f"the caller {caller.name!r} may not ask for this purpose; it may for {', '.join(allowed) or 'none'}"
            return Denial(Reason.PURPOSE, purpose, says)
        return None

    def purpose_of(self, caller: CallerRule, purpose: str | None) -> str | None:
        """The purpose that is meant: the one that was named, or the caller's first."""
        return purpose or next(iter(caller.purposes), None)

    def refuse_text(self, text: str) -> Denial | None:
        """Why no model may be asked about this text; None if one may."""
        rules = [rule for rule in self.content if rule.side is Side.INPUT and rule.forbids]
        words = words_of(text) if rules else []
        for rule in rules:
            if rule.finder.found_in(words):
                return Denial(Reason.FORBIDDEN_CONTENT, rule.name, rule.says)
        return None

    def judge(self, purpose: str | None, text: str, output: str) -> Judgement:
        """What becomes of an answer.

        Example:
            >>> rule = ContentRule("health", ("dose",), Side.INPUT, False, Risk.HIGH, "A person looks at it.")
            >>> policy = UsagePolicy(purposes={"support": Risk.LOW}, content=(rule,), review_from=Risk.HIGH)
            >>> policy.judge("support", "which dose?", "two").review.value, policy.judge("support", "hi", "hi").review
            ('required', None)
        """
        risk = self.purposes.get(purpose, Risk.LOW) if purpose else Risk.LOW
        matched = self._matched(Side.INPUT, text) + self._matched(Side.OUTPUT, output)
        risk = max([risk, *(rule.risk for rule in matched if not rule.forbids)])
        names = tuple(rule.name for rule in matched)
        forbidden = any(rule.forbids for rule in matched if rule.side is Side.OUTPUT)
        if forbidden or (self.withhold_from is not None and risk >= self.withhold_from):
            return Judgement(risk, Review.WITHHELD, names)
        required = self.review_from is not None and risk >= self.review_from
        return Judgement(risk, Review.REQUIRED if required else None, names)

    def _matched(self, side: Side, text: str) -> list[ContentRule]:
        rules = [rule for rule in self.content if rule.side is side]
        words = words_of(text) if rules else []
        return [rule for rule in rules if rule.finder.found_in(words)]
