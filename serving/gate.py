"""The usage policy at the door: who asks, how much, for what; each refusal goes into the audit trail. Edge."""

from pegel.conf.bearer_token import TokenCheck
from pegel.schemas.usage_policy import CallerRule, UsagePolicy
from pegel.serving.authentication import Authentication
from pegel.serving.limits import CallerLimits
from pegel.serving.metrics import ServingMetrics
from pegel.serving.refusal import Reason, Refusal, RefusedError, of_denial
from pegel.serving.trail import PREDICT, REFUSED, Evidence, Trail
from pegel.serving.usage import Credentials

NOBODY = "unknown"
"""The actor of a request whose caller is not known."""

_NO_CREDENTIALS = Credentials({}, {}, {})


class Gate:
    """Lets requests in, or not.

    Args:
        model: the registered model that is asked.
        policy: the usage policy.
        credentials: by what its callers are known.
        tokens: what checks Entra tokens, if a caller has one.
        trail: where decisions are written down.
        metrics: where they are counted.
    """

    def __init__(
        self,
        model: str,
        *,
        policy: UsagePolicy | None = None,
        credentials: Credentials = _NO_CREDENTIALS,
        tokens: TokenCheck | None = None,
        trail: Trail | None = None,
        metrics: ServingMetrics | None = None,
    ) -> None:
        self.policy = policy or UsagePolicy()
        self.authentication = Authentication(credentials, tokens)
        self.trail = trail
        self.metrics = metrics or ServingMetrics()
        self._model = model
        self._limits = CallerLimits(self.policy.callers)

    def identify(self, api_key: str | None, authorization: str | None, action: str) -> CallerRule:
        """Who asks; takes one text of the caller's limit.

        Raises:
            RefusedError: 401, 403, 429 or 503.
        """
        try:
            caller = self.policy.caller(self.authentication.caller(api_key, authorization))
        except RefusedError as error:
            raise self.refused(NOBODY, error.refusal, action=action) from None
        self._take(caller, 1, action)
        return caller

    def admit(self, caller: CallerRule, purpose: str | None, texts: int) -> str | None:
        """Whether a caller may ask so many texts for a purpose.

        Returns:
            the purpose that is meant.

        Raises:
            RefusedError: 403 or 429.
        """
        if denial := self.policy.refuse_caller(caller, self._model, purpose):
            raise self.refused(caller.name, of_denial(denial))
        most = self._limits.most_at_once(caller.name)
        if texts > most:
            detail = f"the request holds {texts} texts, and {most:.0f} a minute are allowed; send fewer at once"
            raise self.refused(caller.name, Refusal(403, Reason.BATCH_ABOVE_LIMIT.value, detail))
        if texts > 1:
            self._take(caller, texts - 1, PREDICT)
        return self.policy.purpose_of(caller, purpose)

    def refuse_text(self, caller: str, text: str, event_id: str) -> Refusal | None:
        """Why no model may be asked about a text; None if one may."""
        denial = self.policy.refuse_text(text)
        if denial is None:
            return None
        refusal = of_denial(denial)
        self.refused(caller, refusal, {"event_id": event_id})
        return refusal

    def refused(
        self, caller: str, refusal: Refusal, evidence: Evidence | None = None, action: str = PREDICT
    ) -> RefusedError:
        """Write a refusal down and count it; gives what is to be raised."""
        self.metrics.refused(refusal.reason)
        more = {"status": refusal.status, "rule": refusal.rule} | dict(evidence or {})
        self.decided(caller, action, REFUSED, refusal.reason, more)
        return RefusedError(refusal, recorded=True)

    def decided(self, caller: str, action: str, decision: str, reason: str, evidence: Evidence) -> None:
        """Write a decision down."""
        if self.trail is not None:
            self.trail.put(
                actor=caller,
                action=action,
                subject=self._model,
                decision=decision,
                reason=reason,
                evidence={"policy": self.policy.hash, **evidence},
            )

    def _take(self, caller: CallerRule, texts: int, action: str) -> None:
        wait = self._limits.take(caller.name, texts)
        if wait > 0:
            detail = (
                f"the caller {caller.name!r} may ask {caller.requests_per_minute} texts a minute; wait {wait:.1f} s"
            )
            refusal = Refusal(429, Reason.CALLER_LIMIT.value, detail, retry_after_s=wait)
            raise self.refused(caller.name, refusal, action=action)
