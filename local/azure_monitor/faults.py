"""What goes wrong with uploads: a fault for the next one, or seeded faults for ever. Edge: reads the clock."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

KINDS = (
    "429", "429 in seconds", "429 until a date", "500", "503", "503 in seconds", "time-out", "stored, time-out",
    "stored, no answer",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one upload instead of a 204.

    Attributes:
        status: the status to answer; nothing is stored.
        retry_after: header ``Retry-After``.
        lost_answer: store the rows and close the connection without an answer.
        stall_seconds: close the connection without an answer only after so long; the rows are stored if the answer is
            a lost one.
        kind: its name, for counts.
    """

    status: int = 503
    retry_after: str | None = None
    lost_answer: bool = False
    stall_seconds: float = 0.0
    kind: str = "scripted"


class SeededFaults:
    """Faults of every kind, evenly, for a share of the uploads; the same seed gives the same ones.

    Args:
        seed: of the draws.
        rate: share of the uploads that something happens to, from 0 to 1.
        stall_seconds: how long an upload that times out gets no answer; longer than its client is patient.
    """

    def __init__(self, seed: int, rate: float, stall_seconds: float) -> None:
        self._random = random.Random(seed)
        self._rate = rate
        self._stall = stall_seconds
        self._deck: list[str] = []

    def draw(self) -> Fault | None:
        """What happens to the next upload."""
        if self._random.random() >= self._rate:
            return None
        if not self._deck:
            self._deck = self._random.sample(KINDS, len(KINDS))
        kind = self._deck.pop()
        seconds = self._random.randint(1, 30)
        if kind.startswith("429"):
            return Fault(429, _retry_after(kind, seconds), kind=kind)
        if kind.startswith("50"):
            return Fault(int(kind[:3]), _retry_after(kind, seconds), kind=kind)
        return Fault(
            lost_answer=kind.startswith("stored"), stall_seconds=self._stall if "time-out" in kind else 0.0, kind=kind
        )


def _retry_after(kind: str, seconds: int) -> str | None:
    if kind.endswith("seconds"):
        return str(seconds)
    if kind.endswith("date"):
        return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
    return None
