"""Signatures of calls between services, as the specification Standard Webhooks 1.0 says. Pure: it is told the time.

A call names itself (``webhook-id``, the same for each copy), says when it was sent (``webhook-timestamp``) and is
signed over both and its body (``webhook-signature``). Several signatures may stand in one header, so that a secret can
be exchanged without a moment in which one side knows only the old and the other only the new one.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime

from pegel.errors import SettingsError

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"

WINDOW_SECONDS = 300
"""A call may be so old or so much ahead, for clocks that differ and lines that are slow."""

_PREFIX = "whsec_"
_BYTES = range(24, 65)
_LONGEST_ID = 255
_MOST_SIGNATURES = 8


class SignatureError(Exception):
    """A call is not signed by who knows a secret, or not lately. The message is the reason, for the log."""


def decode_secret(text: str, setting: str) -> bytes:
    """The key in a secret of the form ``whsec_`` and Base64.

    Args:
        text: the secret.
        setting: where it comes from, for the message.

    Raises:
        SettingsError: if it is no Base64 of 24 to 64 bytes.

    Example:
        >>> len(decode_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "delivery.webhook.secrets"))
        24
    """
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in _BYTES:
        msg = (
            f"{setting} is not whsec_ and the Base64 of {_BYTES.start} to {_BYTES.stop - 1} random bytes; "
            "make one with `echo whsec_$(openssl rand -base64 32)`"
        )
        raise SettingsError(msg)
    return key


def sign(key: bytes, message_id: str, sent_at: int, body: bytes) -> str:
    """The signature of a call.

    Args:
        key: of :func:`decode_secret`.
        message_id: its name, without a dot.
        sent_at: seconds since 1970.
        body: exactly the bytes that are sent.

    Example:
        >>> key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        >>> sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
        'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    signed = f"{message_id}.{sent_at}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def signed_headers(keys: Sequence[bytes], message_id: str, sent_at: datetime, body: bytes) -> dict[str, str]:
    """The three headers of a call, signed with each key."""
    seconds = int(sent_at.timestamp())
    signatures = " ".join(sign(key, message_id, seconds, body) for key in keys)
    return {ID: message_id, TIMESTAMP: str(seconds), SIGNATURE: signatures}


def verify(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: datetime) -> str:
    """Let a call in, or not.

    Args:
        keys: one of them has to have signed it.
        headers: of the call, with names in lower case.
        body: as it came.
        now: the time.

    Returns:
        the name of the call. Within the window the same call may come again: drop copies by this name.

    Raises:
        SignatureError: if a header is missing or odd, the call is outside of the window, or no signature is right.
    """
    message_id, sent_at, given = (headers.get(name, "") for name in (ID, TIMESTAMP, SIGNATURE))
    if not (message_id and sent_at and given):
        raise SignatureError("a header of the signature is missing")
    if len(message_id) > _LONGEST_ID or not message_id.isprintable() or "." in message_id:
        raise SignatureError("the call has no good name")
    if not (sent_at.isascii() and sent_at.isdigit() and len(sent_at) <= 12):
        raise SignatureError("the time of the call is no number of seconds")
    age = now.timestamp() - int(sent_at)
    if abs(age) > WINDOW_SECONDS:
        raise SignatureError("the call is too old" if age > 0 else "the call is from the future")
    wanted = [sign(key, message_id, int(sent_at), body).encode() for key in keys]
    found = [text.encode("utf-8", "replace") for text in given.split(" ")[:_MOST_SIGNATURES]]
    # All are compared, so that the time says nothing about which of the secrets was nearly met.
    if not any([hmac.compare_digest(one, other) for one in wanted for other in found]):  # noqa: C419
        raise SignatureError("no signature is of a live secret")
    return message_id
