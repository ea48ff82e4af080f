"""The names of numbers in MLflow: only characters it allows, and each name can be read back. Pure.

MLflow allows letters, digits and ``_ - . : /`` and space in a key, and 250 characters. A column or model may be called
anything, so everything but letters, digits, ``_``, ``-`` and ``.`` is written as ``:XX`` for each byte of its UTF-8.
"""

import re
from collections.abc import Sequence

from pegel.schemas.metric_names import DRIFT

MAX_KEY_CHARACTERS = 250
MAX_METRICS_PER_CALL = 1000
"""A server takes no more; the client would split, but then one failure leaves half a call."""

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")
_ESCAPED = re.compile(r"(?::[0-9A-F]{2})+")


def encode_name(name: str) -> str:
    """Write a name with the characters that MLflow allows, without ``/``.

    Example:
        >>> encode_name("amount (€)/day"), encode_name("")
        ('amount:20:28:E2:82:AC:29:2Fday', '')
    """
    return "".join(chr(byte) if byte in _PLAIN else f":{byte:02X}" for byte in name.encode("utf-8", "surrogatepass"))


def decode_name(text: str) -> str:
    """The name that :func:`encode_name` wrote.

    Example:
        >>> decode_name("amount:20:28:E2:82:AC:29:2Fday")
        'amount (€)/day'
    """
    return _ESCAPED.sub(lambda m: bytes.fromhex(m[0].replace(":", "")).decode("utf-8", "surrogatepass"), text)


def metric_key(metric: str, column: str, *, version: str, window_s: int, base_window_s: int, revision: int) -> str:
    """The key of one number in the monitoring run of its model and day.

    Two versions may serve in one window, so the version is a part of the key; roll-ups begin with their length.

    Args:
        metric: its name in ``metrics``.
        column: the column, or '' for numbers about the whole event.
        version: of the model.
        window_s: length of the window.
        base_window_s: length of the base windows.
        revision: 1 for the first number of its window, then 2, 3, …

    Example:
        >>> metric_key("psi", "output", version="3", window_s=10, base_window_s=10, revision=1)
        'drift/psi/output/v3'
        >>> metric_key("accuracy", "", version="3", window_s=60, base_window_s=10, revision=2)
        '60s/accuracy/v3/r2'
    """
    parts: Sequence[str] = (
        *((f"{window_s}s",) if window_s != base_window_s else ()),
        *(("drift",) if metric in DRIFT else ()),
        encode_name(metric),
        *((encode_name(column),) if column else ()),
        f"v{encode_name(version)}",
        *((f"r{revision}",) if revision > 1 else ()),
    )
    return "/".join(parts)


def fairness_key(metric: str, attributes: Sequence[str], *, group: Sequence[str | None] = (), label: str = "") -> str:
    """The key of one number about groups in the run of its version.

    Args:
        metric: its name; a difference or a ratio of all groups has a name of its own, e.g. ``accuracy_difference``.
        attributes: what the groups are made by; an intersection's names are parted by a space, which no name holds.
            Empty for a number about all rows.
        group: its values, None for a missing one; empty for numbers about all groups.
        label: the positive label, or '' where there is none.

    Example:
        >>> fairness_key("accuracy", ["channel"], group=["web"])
        'fairness/accuracy/channel/web'
        >>> fairness_key("false_positive_rate_difference", ["race", "sex"], label="1")
        'fairness/false_positive_rate_difference/race sex/1'
        >>> fairness_key("n", ["race", "sex"], group=["..", None])
        'fairness/n/race sex/:2E:2E :missing'
    """
    parts = [" ".join(map(_step, names)) for names in (attributes, group) if names]
    return "/".join(["fairness", metric, *parts, *([_step(label)] if label else [])])


def _step(name: str | None) -> str:
    # MLflow refuses keys with an empty step or one of dots alone. No name is encoded to `:missing` or `:empty`.
    if name is None:
        return ":missing"
    return ":2E" * len(name) or ":empty" if set(name) <= {"."} else encode_name(name)
