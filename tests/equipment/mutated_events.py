"""Events that were good until something happened to them, and what a reader must make of each.

The same seed gives the same events. What must be made of them is said by the one who breaks them, and so is known
without reading them: not the parser's rules, and not those of ``judged_events`` either.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pegel.schemas import events as names

GOOD = frozenset({None})
ANYTHING = frozenset({None, *names.REASONS})
_NOT_JSON = frozenset({names.NOT_JSON_OBJECT})

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class MutatedEvent:
    """An event of the predictions hub.

    Attributes:
        kind: what happened to it.
        body: its bytes.
        reasons: those with which it may be refused; None among them if it may be taken.
    """

    kind: str
    body: bytes
    reasons: frozenset[str | None]


def mutated_events(seed: int, enqueued: datetime, count: int) -> Iterator[MutatedEvent]:
    """Events of every kind in turn, each with an id of its own unless that was hit too.

    Args:
        seed: decides everything.
        enqueued: when the hub takes them; the good ones are not dated later.
        count: how many.
    """
    rng = random.Random(seed)
    kinds = tuple(_MUTATORS)
    for n in range(count):
        kind = kinds[n % len(kinds)]
        body, reasons = _MUTATORS[kind](rng, _good(rng, n, enqueued), enqueued)
        yield MutatedEvent(kind, body, frozenset({reasons}) if isinstance(reasons, str) else reasons)


_TEXTS = ("which gauge rings", "größe 到 🙂", 'quotes " and \\ here', "line\nend\ttab", "", "\u2028\u00a0", "{}[],:")


def _good(rng: random.Random, n: int, enqueued: datetime) -> Document:
    document: Document = {
        "event_id": f"e{n}",
        "event_time": (enqueued - timedelta(seconds=rng.uniform(0, 600))).isoformat(),
        "model_name": "assistant",
        "model_version": rng.choice(("1", "2")),
        "prompt_version": "p",
        "input": rng.choice(_TEXTS),
        "features": {"amount": rng.gauss(0, 1e3), "channel": "web", "vip": None, "n": rng.randint(-9, 9)},
        "output": rng.choice(("a", "b")),
        "probabilities": {"a": rng.random(), "b": 1},
        "segments": {"country": rng.choice(("de", "ch"))},
        "latency_ms": rng.choice((rng.uniform(0, 1e4), rng.randint(0, 99))),
        "gen_ai.usage.input_tokens": rng.randint(0, 4000),
        "error.type": "timeout",
        "mine": {"a": [1, {"b": None}], "c": True},
    }
    for name in rng.sample(("prompt_version", "output", "error.type", "mine", "latency_ms"), k=rng.randint(0, 3)):
        del document[name]
    return document


def _written(document: Document, rng: random.Random) -> bytes:
    pairs = list(document.items())
    rng.shuffle(pairs)
    return json.dumps(dict(pairs), ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, None, 1))).encode()


def _with(document: Document, name: str, text: str) -> bytes:
    """The event with one field whose JSON stands as it is."""
    rest = {key: value for key, value in document.items() if key != name}
    return f"{json.dumps(rest)[:-1]}, {json.dumps(name)}: {text}}}".encode()


Mutator = Callable[[random.Random, Document, datetime], tuple[bytes, "str | frozenset[str | None]"]]
_REQUIRED = tuple(field.json for field in names.PREDICTION_FIELDS if field.required)
_KNOWN = tuple(field.json for field in names.PREDICTION_FIELDS)
_NUMBERS = ("latency_ms", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")


def _truncated(rng: random.Random, document: Document, _: datetime) -> tuple[bytes, frozenset[str | None]]:
    body = _written(document, rng)
    return body[: rng.randrange(len(body))], frozenset({names.NOT_JSON_OBJECT, names.INVALID_UTF8})


def _flipped(rng: random.Random, document: Document, _: datetime) -> tuple[bytes, frozenset[str | None]]:
    body = bytearray(_written(document, rng))
    for _i in range(rng.randint(1, 3)):
        body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    return bytes(body), ANYTHING


def _second_object(rng: random.Random, document: Document, _: datetime) -> tuple[bytes, str]:
    after = (
        b"{}",
        _written(document, rng),
        b'{"a": 1',
        b"[]",
        b"null",
        b"5",
        b'"x"',
        b"}",
        b"]",
        b",",
        b"# note",
        b"x",
    )
    return _written(document, rng) + rng.choice((b"", b" ", b"\n")) + rng.choice(after), names.TRAILING_TEXT


def _duplicate_key(rng: random.Random, document: Document, _: datetime) -> tuple[bytes, str]:
    name = rng.choice(sorted(document))
    spelled = json.dumps(name) if rng.random() < 0.5 else '"' + "".join(f"\\u{ord(c):04x}" for c in name) + '"'
    again = rng.choice((json.dumps(document[name]), "null", '"other"'))
    return _written(document, rng)[:-1].rstrip() + f", {spelled}: {again}}}".encode(), names.DUPLICATE_KEY


def _duplicate_key_below(rng: random.Random, document: Document, _: datetime) -> tuple[bytes, str]:
    inner = rng.choice(('{"a": 1, "a": 2}', '{"a": 1, "\\u0061": 1}', '[[{"x": {"a": 1, "b": 2, "a": 1}}]]'))
    return _with(document, rng.choice(("features", "probabilities", "mine", "theirs")), inner), names.DUPLICATE_KEY


def _wrong_case(rng: random.Random, document: Document, _: datetime) -> tuple[bytes, frozenset[str | None]]:
    name = rng.choice((*_KNOWN, "schema_version", "event_type"))
    letters = [i for i, c in enumerate(name) if c.isalpha()]
    hit = set(rng.sample(letters, k=rng.randint(1, len(letters))))
    other = "".join(c.upper() if i in hit else c for i, c in enumerate(name))
    changed = {other: document.get(name, "x")} | {k: v for k, v in document.items() if k != name or rng.random() < 0.3}
    return _written(changed, rng), frozenset({names.WRONG_CASE, names.MISSING_FIELD})


def _infinite(rng: random.Random, document: Document, _: datetime) -> tuple[bytes, str]:
    number = rng.choice(("1e999", "-1e999", "1E+400", "1.5e309", "9" * 400, "-" + "9" * 309))
    name = rng.choice((*_NUMBERS, "features", "probabilities"))
    return _with(document, name, number if name in _NUMBERS else f'{{"a": 1, "b": {number}}}'), names.NOT_FINITE


def _no_number(rng: random.Random, document: Document, _: datetime) -> tuple[bytes, frozenset[str | None]]:
    number = rng.choice(("NaN", "Infinity", "-Infinity", "+1", "01", "1.", ".5", "0x10", "1e", "--1", "1_000", "１"))
    return _with(document, rng.choice((*_NUMBERS, "mine")), number), _NOT_JSON


def _huge_number(rng: random.Random, document: Document, _: datetime) -> tuple[bytes, frozenset[str | None]]:
    digits = "7" * rng.randint(1001, 5000)
    number = rng.choice((digits, f"0.{digits}", f"-{digits}", f"{digits}.5"))
    return _with(document, "latency_ms", number), _NOT_JSON


def _bad_utf8(rng: random.Random, document: Document, _: datetime) -> tuple[bytes, str]:
    bad = (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80", b"\xe2\x82", b"\xf0\x9f\x99", b"\xc3")
    return _with(document, "input", '"here ? there"').replace(b"?", rng.choice(bad)), names.INVALID_UTF8


def _half_a_character(rng: random.Random, document: Document, _: datetime) -> tuple[bytes, frozenset[str | None]]:
    half = rng.choice(("\\ud83d", "\\uDE42", "\\ude42\\ud83d", "\\ud83d\\ud83d\\ude42", "\\\\\\ud83d", "\\udfffx"))
    name, text = rng.choice((("input", f'"a {half}"'), ("mine", f'{{"a": ["{half}"]}}'), ("mine", f'{{"{half}": 1}}')))
    return _with(document, name, text), _NOT_JSON


def _too_deep(rng: random.Random, document: Document, _: datetime) -> tuple[bytes, frozenset[str | None]]:
    depth = rng.randint(1100, 4000)
    opened, closed = rng.choice((("[", "]"), ('{"a":', "}")))
    inner = "1" if opened != "[" else ""
    return _with(document, rng.choice(("mine", "features")), opened * depth + inner + closed * depth), _NOT_JSON


def _another_kind(rng: random.Random, document: Document, _: datetime) -> tuple[bytes, frozenset[str | None]]:
    text = _written(document, rng)
    whole = (
        b"",
        b" \n",
        b"null",
        b"true",
        b"5",
        b'"text"',
        b"[]",
        b"[" + text + b"]",
        json.dumps(text.decode()).encode(),
    )
    return rng.choice(whole), _NOT_JSON


def _nul_or_mark(rng: random.Random, document: Document, _: datetime) -> tuple[bytes, frozenset[str | None]]:
    body = _written(document, rng)
    inside = _with(document, "input", '"a\x00b"')
    return rng.choice((b"\x00" + body, inside, b"\xef\xbb\xbf" + body, b"\xef\xbb\xbf", b"\x00")), _NOT_JSON


_WRONG: dict[str, tuple[Any, ...]] = {
    "string": (5, True, [], {}, 1.5),
    "timestamp": (5, True, {}, "now", "2026-11-25", "2026-11-25T03:00:00", "2026-13-01T00:00:00Z", "1764039600"),
    "double": ("5", True, [5], {}, ""),
    "bigint": ("5", True, [5], -1, 0.5, 10**12 + 1, 10**30),
}
_WRONG_MAP: dict[str, tuple[Any, ...]] = {
    names.SCALAR: ([1], "a", 5, {"a": {}}, {"a": [1]}),
    names.NUMBER: ([0.5], "a", 5, {"a": "b"}, {"a": None}, {"a": True}),
    names.STRING: (["de"], "de", 5, {"a": 5}, {"a": None}),
}


def _wrong_type(rng: random.Random, document: Document, _: datetime) -> tuple[bytes, str]:
    field = rng.choice(names.PREDICTION_FIELDS)
    return _written(
        document | {field.json: rng.choice(_WRONG_MAP[field.values] if field.values else _WRONG[field.type])}, rng
    ), names.BAD_VALUE


def _missing(rng: random.Random, document: Document, _: datetime) -> tuple[bytes, str]:
    name = rng.choice(_REQUIRED)
    less = {key: value for key, value in document.items() if key != name}
    return _written(rng.choice((less, document | {name: None})), rng), names.MISSING_FIELD


def _unknown_version(rng: random.Random, document: Document, _: datetime) -> tuple[bytes, str]:
    version: Any = rng.choice((0, 2, -1, "1", None, True, [1], {}, 1.5, 10**20))
    return _written(document | {"schema_version": version}, rng), names.UNKNOWN_VERSION


def _too_long(rng: random.Random, document: Document, _: datetime) -> tuple[bytes, str]:
    field = rng.choice([field for field in names.PREDICTION_FIELDS if field.max_characters])
    long = rng.choice("x到🙂") * ((field.max_characters or 0) + rng.choice((1, 2, 500)))
    return _written(document | {field.json: long}, rng), names.TOO_LONG


def _old(rng: random.Random, document: Document, _: datetime) -> tuple[bytes, str]:
    old = ("1970-01-01T00:00:00Z", "2014-12-31T23:59:59.999999Z", "1969-12-31T23:59:59+00:00", "0000-01-01T00:00:00Z")
    return _written(document | {"event_time": rng.choice(old)}, rng), names.OLD_TIME


def _of_the_future(rng: random.Random, document: Document, enqueued: datetime) -> tuple[bytes, str]:
    later = enqueued + rng.choice((timedelta(seconds=301), timedelta(days=3650)))
    return _written(document | {"event_time": rng.choice((later.isoformat(), "9999-12-31T00:00:00Z"))}, rng), (
        names.FUTURE_TIME
    )


def _noise(rng: random.Random, _: Document, __: datetime) -> tuple[bytes, frozenset[str | None]]:
    return rng.randbytes(rng.randrange(200)), ANYTHING - {None}


def _unknown_fields(rng: random.Random, document: Document, _: datetime) -> tuple[bytes, frozenset[str | None]]:
    deep = rng.randint(1, 200)
    odd = {"": 1, "näme": [None], "Ünknown": {"a": 1.5}, "deep": json.loads("[" * deep + "]" * deep), "event_ids": "x"}
    return _written(document | dict(rng.sample(sorted(odd.items()), k=rng.randint(1, 4))), rng), GOOD


_MUTATORS: dict[str, Mutator] = {
    "untouched": lambda rng, document, _: (_written(document, rng), GOOD),
    "unknown fields": _unknown_fields,
    "truncated": _truncated,
    "bits flipped": _flipped,
    "second object": _second_object,
    "duplicate key": _duplicate_key,
    "duplicate key below": _duplicate_key_below,
    "wrong case": _wrong_case,
    "infinite": _infinite,
    "no number": _no_number,
    "huge number": _huge_number,
    "bad UTF-8": _bad_utf8,
    "half a character": _half_a_character,
    "too deep": _too_deep,
    "another kind": _another_kind,
    "NUL or mark": _nul_or_mark,
    "wrong type": _wrong_type,
    "missing": _missing,
    "unknown version": _unknown_version,
    "too long": _too_long,
    "old": _old,
    "of the future": _of_the_future,
    "noise": _noise,
}
KINDS = tuple(_MUTATORS)
"""Every kind of event that is made, ``untouched`` among them."""
