"""What one event is: a prediction, a feedback, or refused and why. Plain Python, none of ingest's code.

It says the rules of ``schemas/events.py`` a second time, in other words, so that a slip in either shows.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, localcontext
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from pegel.schemas import events as names
from pegel.schemas.masking import mask, mask_identifier, mask_keys

EARLIEST = datetime(2015, 1, 1, tzinfo=UTC)
MAX_DEPTH = 999
"""Objects and lists within each other, those of the event's own object included."""


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event as a hub holds it; ``offset`` is its sequence number in the partition."""

    hub: str
    partition: str
    offset: int
    enqueued: datetime
    body: bytes

    @property
    def place(self) -> tuple[str, str, int]:
        return self.hub, self.partition, self.offset


@dataclass(frozen=True, slots=True)
class Judged:
    """An event with what it says: ``reason`` and the masked body if it is refused, else the values of its row."""

    event: LoggedEvent
    is_feedback: bool
    reason: str | None
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def dead_letter(self) -> dict[str, Any]:
        body = self.event.body
        return {
            "reason": self.reason,
            "sha256": hashlib.sha256(body).hexdigest(),
            "body": None if len(body) > 2**20 else mask(_shown(body.decode("utf-8", "replace"))),
        }


class WrittenNumber(float):
    """A number with a point or an exponent, and how it was written."""

    text: str

    def __new__(cls, text: str) -> "WrittenNumber":
        made = super().__new__(cls, text)
        made.text = text
        return made


class _TooLong(Exception):  # noqa: N818
    """A text is longer than it may be."""


class _Refusal(Exception):  # noqa: N818
    """The reason code, as its one argument."""


def judge(event: LoggedEvent, *, is_feedback: bool, future_tolerance_seconds: int) -> Judged:
    """Read one event as its hub's kind of event."""
    try:
        document = _read(event.body)
        _check_envelope(document, "feedback" if is_feedback else "prediction")
        values = _read_fields(document, _FEEDBACK if is_feedback else _PREDICTION)
        times = [values[name] for name in ("event_time", "prediction_time", "feedback_time") if values.get(name)]
        if min(times) < EARLIEST:
            raise _Refusal(names.OLD_TIME)
        if max(times) > event.enqueued + timedelta(seconds=future_tolerance_seconds):
            raise _Refusal(names.FUTURE_TIME)
    except _Refusal as refusal:
        return Judged(event, is_feedback, str(refusal))
    return Judged(event, is_feedback, None, values)


def _read(body: bytes) -> dict[str, Any]:
    if len(body) > 2**20:
        raise _Refusal(names.TOO_LARGE)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise _Refusal(names.INVALID_UTF8) from None
    try:
        document, end = _JSON.raw_decode(text, len(text) - len(text.lstrip(_BLANKS)))
    except (ValueError, RecursionError):
        raise _Refusal(names.NOT_JSON_OBJECT) from None
    if not isinstance(document, _Object) or _depth(document) > MAX_DEPTH:
        raise _Refusal(names.NOT_JSON_OBJECT)
    if text[end:].strip(_BLANKS):
        raise _Refusal(names.TRAILING_TEXT)
    return _with_each_key_once(document)


def _with_each_key_once(document: "_Object") -> dict[str, Any]:
    """The event as a mapping. Half of a pair of escapes is no character; only in the event's own keys is it kept, as a
    question mark."""
    below = [one for _, value in document.pairs for one in _everything_in(value)]
    keys = [name.encode("utf-8", "replace").decode() for name, _ in document.pairs]
    halves_below = any(_has_half(text) for one in below for text in _texts_of(one))
    twice_below = any(_stands_twice([name for name, _ in one.pairs]) for one in below if isinstance(one, _Object))
    if halves_below or (twice_below and any(_has_half(name) for name, _ in document.pairs)):
        raise _Refusal(names.NOT_JSON_OBJECT)
    if twice_below or _stands_twice(keys):
        raise _Refusal(names.DUPLICATE_KEY)
    return dict(zip(keys, (_plain(value) for _, value in document.pairs), strict=True))


class _Object:
    """An object of JSON as it was written: a key may come twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        if any(len(name) > 50_000 for name, _ in pairs):
            raise ValueError("a key is too long")
        self.pairs = pairs


def _everything_in(value: Any) -> Iterator[Any]:
    """A value and all that is in it, at any depth."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        yield one
        waiting += _inside(one)


def _inside(value: Any) -> list[Any]:
    return [inner for _, inner in value.pairs] if isinstance(value, _Object) else value if type(value) is list else []


def _depth(document: _Object) -> int:
    level, depth = [document], 0
    while level := [one for one in level if isinstance(one, _Object | list)]:
        level, depth = [inner for one in level for inner in _inside(one)], depth + 1
    return depth


def _texts_of(value: Any) -> list[str]:
    if isinstance(value, _Object):
        return [name for name, _ in value.pairs]
    return [value] if isinstance(value, str) else []


def _has_half(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _stands_twice(keys: list[str]) -> bool:
    return len(set(keys)) < len(keys)


def _plain(value: Any) -> Any:
    if isinstance(value, _Object):
        return {name: _plain(inner) for name, inner in value.pairs}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _refuse(text: str) -> float:
    raise ValueError(text)


def _whole_number(text: str) -> int | float:
    """Digits beyond a double's are no number that is worth their length."""
    return int(text) if len(_short(text)) <= 400 else math.copysign(math.inf, float(text[:2] + "1"))


def _fraction(text: str) -> "WrittenNumber":
    return WrittenNumber(_short(text))


def _short(text: str) -> str:
    if sum(character.isdigit() for character in text) > 1000:
        raise ValueError("a number is too long")
    return text


_BLANKS = " \t\r\n"
_JSON = json.JSONDecoder(
    parse_float=_fraction, parse_int=_whole_number, parse_constant=_refuse, object_pairs_hook=_Object
)


def _check_envelope(document: Mapping[str, Any], kind: str) -> None:
    version = document.get("schema_version", 1)
    if type(version) is not int or version != 1:
        raise _Refusal(names.UNKNOWN_VERSION)
    if document.get("event_type", kind) != kind:
        raise _Refusal(names.WRONG_TYPE)


def _read_fields(document: Mapping[str, Any], fields: "Mapping[str, _Field]") -> dict[str, Any]:
    if any(rule.required and document.get(name) is None for name, rule in fields.items()):
        raise _Refusal(names.MISSING_FIELD)
    values: dict[str, Any] = {}
    for name, rule in fields.items():
        written = document.get(name)
        try:
            values[rule.column] = rule.default if written is None else rule.read(written)
        except OverflowError:
            raise _Refusal(names.NOT_FINITE) from None
        except _TooLong:
            raise _Refusal(names.TOO_LONG) from None
        except (TypeError, ValueError):
            raise _Refusal(names.BAD_VALUE) from None
    unknown = {name: value for name, value in document.items() if name not in fields and name not in _ENVELOPE}
    if any(name.translate(_LOWER) in fields or name.translate(_LOWER) in _ENVELOPE for name in unknown):
        raise _Refusal(names.WRONG_CASE)
    values["extra"] = mask_keys({name: _masked(_as_text(value)) for name, value in unknown.items()}) or None
    lengths = ("input_characters", "input_words", "output_characters", "output_words")
    values |= dict.fromkeys(lengths if "input" in values else ())
    return values


def _masked(text: str | None) -> str | None:
    return None if text is None else mask(text)


def _shown(text: str) -> str:
    r"""Show the printable characters that a writer hid as ``\u0040``; quotes and the backslash stay."""
    return re.sub(
        r"\\u00([2-7][0-9a-fA-F])",
        lambda found: found[0] if chr(int(found[1], 16)) in '"\\\x7f' else chr(int(found[1], 16)),
        text,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _masked_text(value: Any) -> str:
    return mask(_text(value))


def _identifier(value: Any) -> str:
    if len(_text(value)) > 128:
        raise _TooLong
    if not value:
        raise ValueError(value)
    return mask_identifier(value)


def _name(value: Any) -> str:
    if len(_text(value)) > 1024:
        raise _TooLong
    return str(value)


def _named_id(value: Any) -> str:
    return mask_identifier(_name(value))


def _masked_name(value: Any) -> str:
    return mask(_name(value))


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(value)
    if math.isinf(float(value)):
        raise OverflowError(value)
    return float(value)


def _count(value: Any) -> int:
    if not 0 <= _number(value) <= 10**12 or value != int(value):
        raise ValueError(value)
    return int(value)


_TIME = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(?:Z|([+-])(\d{2}):(\d{2}))", re.ASCII)


def _time(value: Any) -> datetime:
    found = _TIME.fullmatch(_text(value))
    if found is None:
        raise ValueError(value)
    day, clock, fraction, sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    if offset > timedelta(hours=18) or int(minutes or 0) > 59:
        raise ValueError(value)
    # Python knows no year 0; the calendar is the same 400 years later, and all of it is too old.
    ancient = day < "1000"
    day = f"{int(day[:4]) + 400:04}{day[4:]}" if ancient else day
    read = datetime.fromisoformat(f"{day}T{clock}.{(fraction or '').ljust(6, '0')[:6]}")
    if day >= "9999-12-31":
        return read.replace(tzinfo=UTC)
    read = read.replace(tzinfo=timezone(-offset if sign == "-" else offset)).astimezone(UTC)
    return EARLIEST - timedelta(1) if ancient else read


def _kind(value: Any) -> str:
    if value not in {"label", "rating", "judgement"}:
        raise ValueError(value)
    return str(value)


def _scalars(value: Any) -> dict[str, str | None]:
    if not isinstance(value, dict) or any(isinstance(one, dict | list) for one in value.values()):
        raise TypeError(value)
    for one in value.values():
        if isinstance(one, int | float):
            _number(float(one))
    return mask_keys({name: _masked(_as_text(one)) for name, one in value.items()})


def _numbers(value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        raise TypeError(value)
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in value.values()):
        raise TypeError(value)
    return mask_keys({name: _number(one) for name, one in value.items()})


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise TypeError(value)
    return mask_keys({name: mask(_text(one)) for name, one in value.items()})


def _as_text(value: Any) -> str | None:
    """A scalar or a nested value as the text that a map of texts holds."""
    if value is None or isinstance(value, str):
        return value
    return _as_json(value).strip('"')


def _as_json(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(_as_json(one) for one in value)}]"
    if isinstance(value, dict):
        pairs = sorted(value.items(), key=lambda pair: pair[0].encode("utf-16-be"))
        return f"{{{','.join(f'{_quoted(name)}:{_as_json(one)}' for name, one in pairs)}}}"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return _as_number(value.text if isinstance(value, WrittenNumber) else str(value))


def _quoted(text: str) -> str:
    return re.sub(r"u00[01][0-9a-f]", lambda found: "u" + found[0][1:].upper(), json.dumps(text, ensure_ascii=False))


def _as_number(text: str) -> str:
    """Up to 38 digits are kept without trailing zeros: 12.50 is 12.5, and -0.0 is 0. Others are doubles."""
    digits = text.lstrip("-").replace(".", "", 1)
    if not digits.isdigit() or len(digits.lstrip("0")) > 38 or len(text.partition(".")[2]) > 38:
        return _java_double(float(text))
    with localcontext(prec=50):
        value = Decimal(text)
        return format(value.normalize(), "f") if "." in text and value else str(int(value))


def _java_double(value: float) -> str:
    """As Java writes a double: 1000.0, 1.5E-7."""
    if math.isinf(value):
        return '"Infinity"' if value > 0 else '"-Infinity"'
    digits, _, exponent = f"{Decimal(repr(value)).normalize():E}".partition("E")
    if 1e-3 <= abs(value) < 1e7 or value == 0:
        return repr(float(value))
    return f"{digits if '.' in digits else digits + '.0'}E{int(exponent)}"


@dataclass(frozen=True, slots=True)
class _Field:
    column: str
    read: Callable[[Any], Any]
    required: bool = False
    default: Any = None


_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
_ENVELOPE = ("schema_version", "event_type")
_PREDICTION = {
    "event_id": _Field("event_id", _identifier, required=True),
    "event_time": _Field("event_time", _time, required=True),
    "model_name": _Field("model", _identifier, required=True),
    "model_version": _Field("version", _identifier, required=True),
    "prompt_version": _Field("prompt_version", _named_id),
    "input": _Field("input", _masked_text),
    "features": _Field("features", _scalars),
    "output": _Field("output", _masked_text),
    "probabilities": _Field("probabilities", _numbers),
    "segments": _Field("segments", _texts),
    "latency_ms": _Field("latency_ms", _number),
    "error.type": _Field("error_type", _masked_name),
    "gen_ai.request.model": _Field("request_model", _named_id),
    "gen_ai.usage.input_tokens": _Field("input_tokens", _count),
    "gen_ai.usage.output_tokens": _Field("output_tokens", _count),
    "trace_id": _Field("trace_id", _named_id),
}
_FEEDBACK = {
    "feedback_id": _Field("feedback_id", _identifier, required=True),
    "event_id": _Field("event_id", _identifier, required=True),
    "prediction_time": _Field("prediction_time", _time, required=True),
    "feedback_time": _Field("feedback_time", _time, required=True),
    "kind": _Field("kind", _kind, default="label"),
    "label": _Field("label", _masked_text),
    "score": _Field("score", _number),
    "source": _Field("source", _masked_name),
}
