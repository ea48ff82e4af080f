"""Sends a person's approval to the webhook, signed. Edge."""

import json
import uuid
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx

from pegel.alerts.standard_webhooks import signed_headers
from pegel.alerts.webhook.call import APPROVAL_TYPE
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
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        msg = f"--url {url!r} is no URL: {error}"
        raise SettingsError(msg) from None
    here = parts.hostname in _LOOPBACK
    if parts.scheme != "https" and not (parts.scheme == "http" and here):
        msg = f"--url {url!r} has to be https, or http on this machine, since an approval is nobody else's to read"
        raise SettingsError(msg)
    body = json.dumps({"type": APPROVAL_TYPE, "data": {"incident_id": incident_id, "by": by}}).encode()
    headers = signed_headers([key], f"approval_{uuid.uuid4().hex}", datetime.now(UTC), body)
    try:
        answer = httpx.post(
            f"{url.rstrip('/')}/approvals",
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
        msg = f"the webhook at {url} answered {answer.status_code} to the approval of {incident_id}: {detail}"
        raise OutsideError(msg)
    return detail
