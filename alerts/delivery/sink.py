"""What the dispatcher expects of a place that alerts are sent to. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from pegel.errors import OutsideError

Alert = Mapping[str, Any]
"""A row of ``alerts``."""


class DeliveryError(OutsideError):
    """A sink did not take alerts; it may have stored them all the same when its answer was lost.

    Attributes:
        retry_after_seconds: how long the sink asks to be left alone, None if it did not say.
        content: whether the sink refused what was in it: fewer alerts at a time may pass, and one that is refused alone
            is given up.
    """

    def __init__(self, message: str, retry_after_seconds: float | None = None, *, content: bool = False) -> None:
        super().__init__(message, retry_after_seconds)
        self.message = message
        self.retry_after_seconds = retry_after_seconds
        self.content = content

    def __str__(self) -> str:
        return self.message


class Sink(Protocol):
    """A place that alerts are sent to, at least once each and always with the same ``alert_id``."""

    @property
    def name(self) -> str:
        """Its name in the table ``deliveries``."""

    @property
    def forgets(self) -> bool:
        """Whether it forgets what it was told some days ago, so that it has to be told again of open incidents."""

    def chunks(self, alerts: Sequence[Alert]) -> Iterator[list[Alert]]:
        """The alerts in their order, cut into portions that :meth:`send` can take; none is left out."""

    def send(self, alerts: Sequence[Alert]) -> str:
        """Send one portion and return the receipt in words.

        Raises:
            DeliveryError: if the sink refuses, fails or does not answer.
        """
