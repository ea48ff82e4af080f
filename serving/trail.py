"""Where decisions are written down: what serving needs of an audit trail. Pure.

A prompt's text and keys never go into it: ids, names of rules, versions and the policy's hash do.
"""

from collections.abc import Mapping
from typing import Protocol

Evidence = Mapping[str, str | int | float | None]

PREDICT = "serving.predict"
FEEDBACK = "serving.feedback"

ALLOWED = "allowed"
REFUSED = "refused"
FAILED = "failed"
"""The policy allowed it, and the model had no answer."""


class Trail(Protocol):
    """An audit trail; ``put`` neither waits nor fails."""

    def put(self, *, actor: str, action: str, subject: str, decision: str, reason: str, evidence: Evidence) -> None:
        """Write a decision down."""
