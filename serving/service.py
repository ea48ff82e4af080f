"""What happens to a request: the policy is asked, then the champion; each prediction emits one event. Edge.

The event is handed to the producer after the answer is made and before it is given back; neither waits for the hub.
A prediction is settled once: by its answer, or by the time limit if that comes first.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from pegel.conf.settings import Settings
from pegel.schemas.events import FeedbackEvent
from pegel.schemas.model_io import Answer, FailureType
from pegel.schemas.usage_policy import CallerRule, Judgement, Review
from pegel.serving.asking import ask
from pegel.serving.call import Around, Call
from pegel.serving.champion import Champion
from pegel.serving.event_body import event_body, finite, unicode_text
from pegel.serving.gate import Gate
from pegel.serving.producer import EventProducer
from pegel.serving.refusal import Reason, Refusal, of_failure
from pegel.serving.requests import FeedbackAnswer, FeedbackRequest, Health, PredictAnswer, PredictInput
from pegel.serving.served_model import ServedModel
from pegel.serving.trail import ALLOWED, FAILED, FEEDBACK, PREDICT

FINISH_REASONS = "gen_ai.response.finish_reasons"


@dataclass(frozen=True)
class Serving:
    """What the application works with.

    Attributes:
        settings: the model's name and the limits.
        champion: the model.
        predictions: the producer of prediction events.
        feedback: the producer of feedback events.
        gate: who is let in; without one everybody is, and nothing is forbidden.
        arounds: who looks at each prediction.
        listeners: who hears of each feedback; they must not wait.
        now: the clock.
    """

    settings: Settings
    champion: Champion
    predictions: EventProducer
    feedback: EventProducer
    gate: Gate = field(default_factory=lambda: Gate(""))
    arounds: Sequence[Around] = ()
    listeners: Sequence[Callable[[FeedbackEvent], None]] = ()
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __post_init__(self) -> None:
        """Let the metrics see what is to be seen."""
        hubs = self.settings.source
        self.gate.metrics.watch(
            self.settings.model.name,
            lambda: model.version if (model := self.champion.current) else None,
            {hubs.predictions_hub: self.predictions.counts, hubs.feedback_hub: self.feedback.counts},
        )

    def start(self) -> None:
        """Start the threads."""
        self.champion.start()
        self.predictions.start()
        self.feedback.start()

    def close(self) -> None:
        """Stop the threads; events that the hub does not take in time are left in the spool."""
        self.champion.close()
        self.predictions.close()
        self.feedback.close()

    def prepare(
        self, caller: CallerRule, purpose: str | None, inputs: Sequence[PredictInput]
    ) -> tuple[ServedModel, list[Call]]:
        """Make a call of each input. The outcome of those that may not be asked is there already.

        Raises:
            RefusedError: if none may be asked: 403, 429 or 503.
        """
        purpose = self.gate.admit(caller, purpose, len(inputs))
        model = self.champion.current
        if model is None:
            detail = f"no champion of {self.settings.model.name!r} is loaded yet: {self.champion.problem}"
            refusal = Refusal(503, Reason.NO_CHAMPION.value, detail, retry_after_s=self.settings.serving.poll_seconds)
            raise self.gate.refused(caller.name, refusal)
        return model, [self._call(model, caller, purpose, one) for one in inputs]

    def answer(self, model: ServedModel, calls: Sequence[Call]) -> None:
        """Ask about those calls that have no outcome yet, and settle them."""
        if asked := [call for call in calls if call.outcome is None]:
            ask(model, asked, self.arounds)
            for call in asked:
                self.settle(call)

    def settle(self, call: Call) -> None:
        """Decide what the caller is told, and emit the event; does nothing if the time limit came first."""
        if call.take():
            self._conclude(call, call.answer, call.error_type)

    def give_up(self, call: Call, reason: str, refusal: Refusal) -> None:
        """Settle a call whose answer comes too late, or that nobody waits for any more."""
        if call.take():
            self._conclude(call, None, reason)
            call.outcome = refusal

    def take_feedback(self, caller: CallerRule, request: FeedbackRequest) -> FeedbackAnswer:
        """Emit one feedback event."""
        event = FeedbackEvent(
            feedback_id=request.id or uuid.uuid4().hex,
            event_id=request.event_id,
            prediction_time=request.prediction_time.astimezone(UTC),
            feedback_time=self.now(),
            label=request.label,
            source=request.source,
            trace_id=request.trace_id,
        )
        self.feedback.put(event.model_dump_json(exclude_none=True).encode())
        for listener in self.listeners:
            listener(event)
        evidence = {"event_id": event.event_id, "feedback_id": event.feedback_id}
        self.gate.decided(caller.name, FEEDBACK, ALLOWED, ALLOWED, evidence)
        return FeedbackAnswer(feedback_id=event.feedback_id)

    def health(self) -> Health:
        """Whether a champion answers, and what became of the events."""
        model, hubs = self.champion.current, self.settings.source
        counts = {hubs.predictions_hub: self.predictions.counts(), hubs.feedback_hub: self.feedback.counts()}
        return Health(
            status="serving" if model else "no champion",
            model=self.settings.model.name,
            version=model.version if model else None,
            detail=self.champion.problem,
            events={hub: asdict(count) for hub, count in counts.items()},
        )

    def _call(self, model: ServedModel, caller: CallerRule, purpose: str | None, given: PredictInput) -> Call:
        call = Call(
            event_id=given.id or uuid.uuid4().hex,
            event_time=self.now(),
            model=self.settings.model.name,
            version=model.version,
            text=given.text,
            segments=given.segments,
            caller=caller.name,
            purpose=purpose,
        )
        limit = self.settings.serving.max_text_characters
        if len(given.text) > limit:
            detail = f"the text has {len(given.text)} characters, and {limit} are allowed; shorten it"
            call.outcome = Refusal(413, Reason.TOO_LARGE.value, detail)
            self.gate.refused(caller.name, call.outcome)
        else:
            call.outcome = self.gate.refuse_text(caller.name, given.text, call.event_id)
        return call

    def _conclude(self, call: Call, answer: Answer | None, error_type: str | None) -> None:
        judged = None
        if answer is not None and answer.failure is None:
            judged = self.gate.policy.judge(call.purpose, call.text, answer.output)
        self.predictions.put(event_body(call, answer, error_type, judged))
        decision = FAILED if judged is None else judged.review.value if judged.review else ALLOWED
        self.gate.decided(call.caller, PREDICT, decision, error_type or decision, _evidence(call, judged))
        self.gate.metrics.predicted(call.version, error_type or decision)
        call.outcome = self._told(call, answer, error_type, judged)

    def _told(
        self, call: Call, answer: Answer | None, error_type: str | None, judged: Judgement | None
    ) -> PredictAnswer | Refusal:
        if answer is not None and answer.failure is not None:
            return of_failure(answer.failure, call.event_id)
        if answer is None or judged is None:
            detail = f"version {call.version} failed: {error_type}"
            return Refusal(500, Reason.MODEL_FAILED.value, detail, call.event_id)
        withheld = judged.review is Review.WITHHELD
        return PredictAnswer(
            event_id=call.event_id,
            event_time=call.event_time,
            output=None if withheld else unicode_text(answer.output),
            probabilities={} if withheld else finite(answer.probabilities),
            model=call.model,
            version=call.version,
            disclosure=self.gate.policy.disclosure,
            review=judged.review,
            finish_reason=_finish_reason(answer),
            trace_id=call.trace_id,
        )


def time_limit(seconds: float, event_id: str) -> Refusal:
    """What is told when an answer takes too long."""
    detail = f"there was no answer within {seconds:g} s; ask for less, or come again"
    return Refusal(504, FailureType.TIMEOUT.value, detail, event_id)


def _evidence(call: Call, judged: Judgement | None) -> dict[str, str | int | float | None]:
    evidence: dict[str, str | int | float | None] = {
        "event_id": call.event_id,
        "version": call.version,
        "purpose": call.purpose,
    }
    if judged is not None:
        evidence |= {"risk": judged.risk.name.lower(), "rules": ",".join(judged.rules) or None}
    return evidence


def _finish_reason(answer: Answer) -> str | None:
    given = answer.event_fields.get(FINISH_REASONS)
    if isinstance(given, list) and len(given) == 1:
        (given,) = given
    return unicode_text(given) if isinstance(given, str) else None
