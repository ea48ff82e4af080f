"""Who may call the webhook without a token of Entra: whoever signs with a live secret. Edge: reads secrets."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from pegel.alerts.standard_webhooks import SignatureError, decode_secret, verify
from pegel.conf.bearer_token import TokenError
from pegel.conf.secret_ref import SecretRef


class SignedCallerCheck:
    """Checks the signature of a call, see :mod:`pegel.alerts.standard_webhooks`.

    Args:
        secrets: where they lie: one, or two while one replaces the other. They are read for each call, so that a new
            one counts at once.
        now: the clock.
        setting: their name in the settings, for messages.

    Raises:
        SettingsError: if a secret is missing or none.
    """

    def __init__(
        self,
        secrets: Sequence[SecretRef],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        setting: str = "webhook.secrets",
    ) -> None:
        self._secrets = tuple(secrets)
        self._now = now
        self._setting = setting
        self._keys()

    def check(self, headers: Mapping[str, str], body: bytes) -> None:
        """Let a call in, or not. One that comes again within the window is let in again: its alert says it is a copy.

        Raises:
            TokenError: if it is not signed by a live secret, or not within five minutes.
            SettingsError: if a secret cannot be read any more.
        """
        try:
            verify(self._keys(), headers, body, self._now())
        except SignatureError as error:
            raise TokenError(401, str(error)) from None

    def _keys(self) -> list[bytes]:
        return [decode_secret(secret.read(), self._setting) for secret in self._secrets]
