"""What is read at once has the rows of what is read field by field, and the certificate lets in nothing else."""

import json
from datetime import UTC, datetime

import pytest
from equipment.event_frames import frame_of, parsed
from equipment.judged_events import LoggedEvent
from equipment.kilobyte_events import predictions
from equipment.mutated_events import mutated_events
from equipment.written_events import (
    FEEDBACK_EVENT,
    NOW,
    PREDICTION,
    Written,
    drawn,
    feedback,
    rendered,
    text,
    with_raw,
    without,
)
from hypothesis import strategies as st
from pyspark.sql.functions import expr

from pegel.conf.settings import Settings
from pegel.schemas import events as names
from pegel.streaming.ingest.contract import ContractSql
from pegel.streaming.ingest.parse import SOURCE, Parser

pytestmark = pytest.mark.spark

ENQUEUED = datetime(2026, 11, 25, 3, 5, tzinfo=UTC)
LONG = 1_000_000
ALWAYS = {"offset", "record", "reason", "detail"}


def spelt_otherwise(body):
    """The same event to whoever reads JSON, and never plain, since a key holds an escape."""
    return body.replace(b'"event_id"', b'"\\u0065vent_id"', 1)


def dumped(**changes):
    """As pydantic writes an event: compact, nulls for what is not there, letters as they are."""
    return names.PredictionEvent.model_validate_json(text(**changes)).model_dump_json().encode()


PLAIN = [
    text(), text(features={}, segments={"country": "de", "": ""}, output="größe 到 🙂 \u0000\x7f\u2028\\\""),
    dumped(), dumped(input="größe 🙂 \n", features={"n": 1, "x": 0.5, "yes": True, "none": None}, latency_ms=3),
    json.dumps(json.loads(text(input="größe 🙂")), ensure_ascii=False, indent=2).encode(), b" \r\n\t" + text() + b"\n",
    text(schema_version=1, event_type="prediction", model_name="模" * 64, trace_id="", event_id="x" * 128),
    *(event.body for event in predictions(1, ENQUEUED, 20)),
    *(with_raw("latency_ms", n) for n in ("0", "-1", "12.50", "1e-05", "3.0E+2", "9" * 15 + "." + "9" * 22)),
    *(with_raw("features", f'{{"n": {n}}}') for n in ("0", "-7", "0.5", "-0.05", "true", '"1.50"', "1.50", "1e-7")),
    *(with_raw("gen_ai.usage.input_tokens", n) for n in ("0", "7", str(10**12 - 1))),
]  # fmt: skip
LONG_PLAIN = [
    with_raw("input", '"' + "\\n" * (LONG // 2) + '"'), with_raw("input", '"' + "x" * LONG + '"'),
    with_raw("input", '"' + "\\u00e9é" * (LONG // 8) + '"'), text()[:-1] + b" " * LONG + b"}",
    with_raw("segments", "{" + ", ".join(f'"{i}": "\\u0041"' for i in range(LONG // 20)) + "}"),
]  # fmt: skip
NOT_PLAIN = [
    spelt_otherwise(text()), text(mine=1), text()[:-1] + b', "event_id": "e1"}', text(Input="x"), without("event_id"),
    text() + b" {}", text() + b"x", text()[:-1], text()[:-1] + b",}", b"[" + text() + b"]", b"\xef\xbb\xbf" + text(),
    text(input="?").replace(b"?", b"\xc3"), with_raw("input", '"\ufffd"'), with_raw("input", '"\t"'), text(input=5),
    *(with_raw("input", f'"{t}"') for t in ("\\x", "\\u12", "\\ud83d", "\\ude42\\ud83d", "\\ud83d\\u0041")),
    text(event_id=""), text(event_id="x" * 129), text(event_id=None), text(trace_id="x" * 1025), text(schema_version=2),
    text(event_type="feedback"), feedback(), text(event_time=NOW + "\n"), text(event_time="2026-02-30T00:00:00Z"),
    *(with_raw("latency_ms", n) for n in ("-0", "-0.0", "1e309", "01", "+1", "1.", ".5", "NaN", '"5"', "9" * 16)),
    *(with_raw("features", f'{{"n": {n}}}') for n in ("-0", "-0.0", "1e400", "[]", "{}", '"', "1,")),
    *(with_raw("gen_ai.usage.input_tokens", n) for n in ("-1", "5.0", "1e3", str(10**12))),
    with_raw("features", '{"a": 1, "\\u0061": 2}'), with_raw("segments", '{"a": "x", "a": "x"}'),
    text(segments={"a": None}), text(probabilities={"a": "0.5"}), text(features=[]), text(**{"": 1}),
    text(segments={"k" * 50_001: "de"}), text(features={"größe" * 100: 1}),
]  # fmt: skip
LONG_NOT_PLAIN = [
    with_raw("segments", "{" + '"a": "\\n", ' * (LONG // 20) + "}"), with_raw("input", '"' + "\\n" * (LONG // 2)),
    text()[:-1] + b" " * LONG + b"x}",
]  # fmt: skip
PLAIN_FEEDBACK = [feedback(), feedback(kind="rating", score=4.5, label=None, source="s")]
NOT_PLAIN_FEEDBACK = [text(), feedback(kind="guess"), feedback(label=5), feedback(kind="label", latency_ms=1)]

signs = st.text(st.sampled_from('\\"/\x7f\x80 é到\ufffd🙂eE0.'), max_size=9)
texts = st.text(max_size=9) | signs | signs.map(lambda one: Written(json.dumps(one)))
digits = st.text("09", min_size=1, max_size=2) | st.text("0123456789", min_size=1, max_size=24)
numbers = st.builds(
    lambda sign, digits, fraction, exponent: Written(sign + (digits.lstrip("0") or "0") + fraction + exponent),
    st.sampled_from(("", "-")),
    digits,
    st.just("") | digits.map(lambda some: f".{some}"),
    st.sampled_from(("", "", "", "", "e3", "E-3", "e+20", "e-300", "e400")),
)
wholes = st.integers(0, 10**12 + 1) | st.sampled_from((10**12 - 1, 10**12, 10**12 + 1))
times = st.sampled_from((NOW, "2026-11-25 03:00:00+00:00", "2026-11-25T24:00:00Z", "2026-11-25T03:00:00.5+19:00"))
scalars = st.none() | st.booleans() | numbers | texts
keys = st.sampled_from(("", "a", "b", Written('"\\u0061"'))) | texts
values = {"string": texts, "timestamp": times, "double": numbers, "bigint": wholes | numbers}
inside = {names.STRING: texts, names.NUMBER: numbers, names.SCALAR: scalars}


def fields_of(fields):
    """A field with a value, most often one of its kind and near the edge of what is plain."""
    return st.one_of(st.tuples(st.just(field.json), value_of(field)) for field in fields)


def value_of(field):
    of_kind = st.lists(st.tuples(keys, inside[field.values]), max_size=4).map(tuple) if field.values else None
    of_kind = values[field.type] if of_kind is None else of_kind
    return st.integers(0, 9).flatmap(lambda n: scalars if n == 0 else of_kind)


def bodies(base, fields):
    changes = st.lists(fields_of(fields), max_size=8)
    return changes.map(lambda pairs: rendered(tuple((base | dict(pairs)).items())).encode())


def logged(bodies_by_hub):
    return [LoggedEvent(hub, "0", n, ENQUEUED, body) for n, (hub, body) in enumerate(bodies_by_hub)]


def plain_among(spark, cases):
    """Which of these events are plain, by their numbers."""
    sql = ContractSql(names.CONTRACT, 300).plain
    record = "IF(hub = 'feedback', 'feedback', 'prediction') AS record"
    frame = frame_of(spark, logged(cases)).selectExpr("offset", record, "CAST(body AS STRING) AS text")
    read = frame.selectExpr("*", *sql.reads())
    rows = read.selectExpr("*", *sql.times()).selectExpr("offset", f"{sql.is_plain()} AS plain").collect()
    return {row.offset for row in rows if row.plain}


def test_plain_is_what_libraries_write_and_nothing_that_needs_a_closer_look(spark):
    plain = [
        *(("predictions", body) for body in (*PLAIN, *LONG_PLAIN)),
        *(("feedback", body) for body in PLAIN_FEEDBACK),
    ]
    others = [
        *(("predictions", body) for body in (*NOT_PLAIN, *LONG_NOT_PLAIN)),
        *(("feedback", body) for body in NOT_PLAIN_FEEDBACK),
    ]
    found = plain_among(spark, [*plain, *others])
    assert [body[:200] for n, (_, body) in enumerate(plain) if n not in found] == []
    assert [body[:200] for n, (_, body) in enumerate(others, len(plain)) if n in found] == []


def test_an_event_read_at_once_has_the_row_of_the_same_event_read_field_by_field(spark):
    cases = [
        *(
            ("predictions", body)
            for body in (*PLAIN, *NOT_PLAIN, *drawn(bodies(PREDICTION, names.PREDICTION_FIELDS), 400))
        ),
        *(("feedback", body) for body in (*PLAIN_FEEDBACK, *drawn(bodies(FEEDBACK_EVENT, names.FEEDBACK_FIELDS), 150))),
        *(("predictions", event.body) for event in mutated_events(9, ENQUEUED, 600)),
    ]
    twins = [(hub, one) for hub, body in cases for one in (body, spelt_otherwise(body))]
    frame = parsed(Parser(Settings()), spark, logged(twins)).drop("sha256", "body", "bytes", *SOURCE[:2])
    # In what is refused there are keys that come twice and years that Python does not have.
    kept = {name: expr(f"CASE WHEN reason IS NULL THEN {name} END") for name in frame.columns if name not in ALWAYS}
    table = frame.withColumns(kept).toArrow()
    rows = {row.pop("offset"): row for row in table.to_pylist(maps_as_pydicts="strict")}
    assert len(rows) == len(twins)
    pairs = [(body[:300], rows[2 * n], rows[2 * n + 1]) for n, (_, body) in enumerate(cases)]
    assert [pair for pair in pairs if pair[1] != pair[2]] == []


def plain_of(spark, contract, cases):
    sql = ContractSql(contract, 300).plain
    frame = frame_of(spark, logged([("predictions", text(**case)) for case in cases]))
    frame = frame.selectExpr("offset", "'prediction' AS record", "CAST(body AS STRING) AS text")
    read = frame.selectExpr("*", *sql.reads()).selectExpr("*", *sql.times())
    rows = read.selectExpr("offset", f"{sql.is_plain()} AS plain").orderBy("offset")
    return [row.plain for row in rows.collect()]


def test_events_of_each_version_are_plain_unless_versions_mean_different_things_by_one_name(spark):
    prompt = names.EventField("prompt", "prompt", "string", required=True, since=2, max_characters=20)
    asked = names.EventField("asked_at", "asked_at", "timestamp", since=2)
    fields = {names.PREDICTION: (*names.PREDICTION_FIELDS, prompt, asked), names.FEEDBACK: names.FEEDBACK_FIELDS}
    cases = [{}, {"schema_version": 2, "prompt": "hi"}, {"schema_version": 2, "prompt": "x" * 21}, {"prompt": "hi"}]
    cases += [
        {"schema_version": 2, "prompt": "hi", "asked_at": at} for at in ("2026-02-28T00:00:00Z", "2026-02-30T00:00:00Z")
    ]
    assert plain_of(spark, names.EventContract((1, 2), fields), cases) == [True, True, False, False, True, False]

    old = names.EventField("score", "score", "string", until=1)
    new = names.EventField("score", "rating", "double", since=2)
    fields = {names.PREDICTION: (*names.PREDICTION_FIELDS, old, new), names.FEEDBACK: names.FEEDBACK_FIELDS}
    assert plain_of(spark, names.EventContract((1, 2), fields), [{"score": "good"}, {}]) == [False, False]
