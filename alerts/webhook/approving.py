"""Sends what a person decides to the webhook, signed: approvals, silences and acknowledgements. Edge."""

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx

from pegel.alerts.standard_webhooks import signed_headers
from pegel.alerts.webhook.call import APPROVAL_TYPE
from pegel.alerts.webhook.silencing import WISH_TYPE
from pegel.errors import OutsideError, SettingsError

_SECONDS = 15
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def send_approval(url: str, key: bytes, incident_id: str, by: str) -> str:
    """Approve the retraining of an incident.

    Args:
        url: where the webhook is reached, without a path.
        key: of an approver.
        incident_id: of which incident.
        by: the name of who approves; it goes into the audit trail.

    Returns:
        what came of it, in words.

    Raises:
        SettingsError: if the URL is neither https nor on this machine.
        OutsideError: if the webhook cannot be reached, or does not take the approval.
    """
    payload = {"type": APPROVAL_TYPE, "data": {"incident_id": incident_id, "by": by}}
    return _send(url, "/approvals", key, payload, f"the approval of {incident_id}")


def send_wish(url: str, key: bytes, data: Mapping[str, object]) -> str:
    """Ask for a silence, end one, or acknowledge an incident.

    Args:
        url: where the webhook is reached, without a path.
        key: of an approver.
        data: see :class:`~pegel.alerts.webhook.silencing.Asked`.

    Returns:
        what came of it, in words.

    Raises:
        SettingsError: if the URL is neither https nor on this machine.
        OutsideError: if the webhook cannot be reached, or does not take it.
    """
    about = f"the wish to {data['wish']} {data.get('incident_id') or data['silence_id']}"
    return _send(url, "/silences", key, {"type": WISH_TYPE, "data": data}, about)


def _send(url: str, path: str, key: bytes, payload: Mapping[str, object], about: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        msg = f"--url {url!r} is no URL: {error}"
        raise SettingsError(msg) from None
    here = parts.hostname in _LOOPBACK
    if parts.scheme != "https" and not (parts.scheme == "http" and here):
        msg = f"--url {url!r} has to be https, or http on this machine, since it is nobody else's to read"
        raise SettingsError(msg)
    body = json.dumps(payload).encode()
    headers = signed_headers([key], f"{path.strip('/')}_{uuid.uuid4().hex}", datetime.now(UTC), body)
    try:
        answer = httpx.post(
            url.rstrip("/") + path,
            content=body,
            headers={"Content-Type": "application/json", **headers},
            timeout=_SECONDS,
            trust_env=not here,  # a proxy would carry what is for this machine alone
        )
        said = answer.json() if answer.headers.get("content-type", "").startswith("application/json") else {}
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        msg = f"the webhook at {url} could not be reached: {type(error).__name__}: {error}"
        raise OutsideError(msg) from error
    detail = str(said.get("detail", "no reason given")) if isinstance(said, dict) else "no reason given"
    if answer.status_code not in (200, 202):
        msg = f"the webhook at {url} answered {answer.status_code} to {about}: {detail}"
        raise OutsideError(msg)
    return detail
