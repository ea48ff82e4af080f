"""The parser against a second reading of the rules in plain Python: every reason, every column, everything masked."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from equipment.event_frames import parsed
from equipment.judged_events import LoggedEvent, judge
from equipment.maskable_texts import maskable_texts
from equipment.seeded_events import FEEDBACK, seeded_events
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
from pegel.schemas.tables import TABLES
from pegel.streaming.ingest.parse import Parser

pytestmark = pytest.mark.spark

ENQUEUED = datetime(2026, 11, 25, 3, 0, 0, 250_000, UTC)
EMAIL, KEY = "ada@example.org", "sk-abcDEF0123456789abcDEF"
OWN = {
    hub: [name for name in TABLES[hub].names if name not in {"batch_id", "hub", "partition", "offset", "enqueued_time"}]
    for hub in ("predictions", "feedback")
}


GOOD = [
    text(),
    text(input="größe 到 🙂 \u0000\u001f\u007f\u2028", output="", prompt_version="p", trace_id="t"),
    text(input=f"write to {EMAIL}", output=f"key {KEY}", segments={"who": EMAIL}, **{"error.type": f"by {EMAIL}"}),
    text(features={"mail": EMAIL, "key": KEY, "n": 12, "b": True, "none": None}),
    text(features={EMAIL: EMAIL, "n": 1}, segments={EMAIL: "a", KEY: "b", "[email]": "c"}, probabilities={EMAIL: 1}),
    text(**{EMAIL: 1, f"b{EMAIL}": {EMAIL: [2]}, "mine": 3}, probabilities={"pca10": 1, EMAIL: 0.5, f"b{EMAIL}": 0.25}),
    text(probabilities={"a": 1, "b": 0.25, "c": 1e-300}, latency_ms=12),
    text(mine=EMAIL, nested={"who": [EMAIL, {"key": KEY}], "a": None}, number=1.50, nothing=None, yes=True, list=[]),
    text(event_id="x" * 128, model_name="模" * 128),
    text(event_id="🙂" * 128, prompt_version="x" * 1024, output="x" * 2000),
    text(schema_version=1, event_type="prediction", prompt_version=None, features=None, segments=None),
    text(**{"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 10**12, "gen_ai.request.model": "m"}),
    with_raw("gen_ai.usage.input_tokens", "5.0"),
    with_raw("gen_ai.usage.input_tokens", "1e3"),
    *(with_raw("latency_ms", n) for n in ("0", "-0.0", "1e308", "1.7976931348623157E308", "9" * 39, "1" + "0" * 300)),
    *(with_raw("latency_ms", n) for n in ("4.9e-324", "0." + "0" * 50 + "1", "123456789012345678901234567890.5")),
    *(with_raw("mine", n) for n in ("6.888437030500962e+18", "[-2.4607539521922806E17]", "2e23")),
    *(with_raw("features", f'{{"n": {n}}}') for n in ("12.50", "1e3", "1E-7", "-0.0", "0.0000001", "9" * 38, "9" * 40)),
    with_raw("mine", '{"b": 1, "a": {"d": 1.0, "c": "\\u001f\\"\\\\/"}}'),
    with_raw("", "1"),
    with_raw("na\\u006de", "1"),
    with_raw("lone \\ude42", "1"),
    with_raw("input", '"ada\\u0040example.org \\ud83d\\ude42"'),
    b" \t\r\n" + text() + b"\n ",
    *(
        text(event_time=written)
        for written in (
            "2026-11-25 03:00:00+00:00", "2026-11-25T05:30:00.5+02:30", "2026-11-24T09:00:00.123456789-18:00",
            "2015-01-01T00:00:00Z", "2024-02-29T12:00:00Z", "2026-11-25T03:05:00.250000Z",
        )
    ),
]  # fmt: skip

REFUSED = {
    names.TOO_LARGE: [text(input="x" * names.MAX_EVENT_BYTES), b"\xff" * (names.MAX_EVENT_BYTES + 1)],
    names.INVALID_UTF8: [
        b"\xff\xfe" + text(), text(input="?").replace(b"?", b"\xc3"), b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80",
        b"cut \xe2\x82", b"cut \xf0\x9f\x99 then \xe2\x28\xa1 " + EMAIL.encode(), b"\x80",
    ],
    names.NOT_JSON_OBJECT: [
        b"", b" ", b"null", b"5", b'"text"', b"[]", b"[" + text() + b"]", text()[:-1], b"\xef\xbb\xbf" + text(),
        text()[:-1] + b",}", text().replace(b'"', b"'"), b"// note\n" + text(), b"/* */" + text(), b"\x00" + text(),
        f"write to {EMAIL}, {KEY}".encode(), "größe 到 🙂".encode(), b"ada\\u0040example.org", b"5 6", b"[1] {}",
        *(with_raw("latency_ms", n) for n in ("NaN", "Infinity", "-Infinity", "01", "+1", ".5", "5.", "0x1", "1e")),
        with_raw("latency_ms", "9" * 1001), with_raw("latency_ms", "0." + "3" * 1001), with_raw("k" * 50_001, "1"),
        *(with_raw("input", t) for t in ('"\t"', '"\n"', '"\\x"', '"\\u12"', "'a'", "a", '"')),
        with_raw("input", '"lone \\ud83d surrogate"'), with_raw("mine", '{"\\ud83d": 1}'),
        with_raw("input", '"a whole \\ud83d\\ude42 and half \\ude42"'), with_raw("input", r'"\\\ud83d"'),
        with_raw("mine", '{"a": "\\uD83D", "a": 2}'), with_raw("mine", "[" * 5000 + "]" * 5000),
    ],
    names.TRAILING_TEXT: [
        text() + after
        for after in (
            b"}", b" {}", b",", b'], "x": [', b"}, {", b"]", b"\x00", b'"', b"// note", b"\n" + text(), text()[:40],
            b" null", b"\xc2\xa0",
        )
    ] + [b"{}" + text(), text()[:-1] + b', "event_id": "again"} x', with_raw("mine", '{"a": 1, "a": 2}') + b"}"],
    names.DUPLICATE_KEY: [
        text()[:-1] + b', "event_id": "again"}', text()[:-1] + b', "\\u0065vent_id": "again"}',
        text()[:-1] + b', "mine": {"a": 1, "a": 2}}', text()[:-1] + b', "mine": 1, "mine": 1}',
        text()[:-1] + b', "mine": [[{"b": {"a": 1, "\\u0061": 1}}]]}', text()[:-1] + b', "\\ud83d": 1, "\\ude42": 1}',
        with_raw("mine", '{"b": {"a": 1, "a": 2}}, "": ' + text().decode()),
        with_raw("mine", r'{"a": "\\ud83d", "a": "\ud83d\ude42"}'), text(schema_version=2)[:-1] + b', "event_id": "x"}',
    ],
    names.UNKNOWN_VERSION: [
        *(text(schema_version=v) for v in (2, 0, -1, "1", None, True, [1], 10**30)),
        with_raw("schema_version", "1.0"), with_raw("schema_version", "1e0"), text(schema_version=2, event_type="x"),
    ],
    names.WRONG_TYPE: [text(event_type=t) for t in ("feedback", "Prediction", "", None, 1)],
    names.MISSING_FIELD: [
        b"{}", *(without(name) for name in PREDICTION), *(text(**{name: None}) for name in PREDICTION),
        text(event_time=None, latency_ms="fast"), text(event_id=None, note=EMAIL),
    ],
    names.BAD_VALUE: [
        *(text(event_id=v) for v in ("", 5, True, [], {})), text(model_version=1), text(model_name=""),
        *(text(event_time=v) for v in (
            "2026-11-25T03:00:00", "2026-11-25T03:00Z", "2026-11-25", "03:00:00Z", 1764039600, "", "now",
            "2026-02-30T03:00:00Z", "2026-11-25T24:00:00Z", "2026-11-25T03:00:60Z", "0000-02-30T03:00:00Z",
            "2026-11-25T03:00:00Z ", " 2026-11-25T03:00:00Z", "2026-11-25T03:00:00Z\n", "2026-11-25T03:00:00z",
            "2026-11-25T03:00:00+0000", "2026-11-25T03:00:00+19:00", "2026-11-25T03:00:00+01:60",
            "2026-11-25T03:00:00.1234567890Z", "２０２６-11-25T03:00:00Z", "2026-11-25T03:00:00 UTC",
        )),
        *(text(latency_ms=v) for v in ("5", True, [5], {}, "fast")),
        *(text(**{"gen_ai.usage.input_tokens": v}) for v in (-1, 10**12 + 1, 0.5, "5", 10**30, True)),
        *(text(**{name: v}) for name in ("prompt_version", "input", "output", "error.type") for v in (5, {}, False)),
        text(features=[1]), text(features="a"), text(features={"a": {"b": 1}}), text(features={"a": [1]}),
        with_raw("features", '{"a": 1e400, "b": []}'),
        text(probabilities={"a": "b"}), text(probabilities={"a": None}), text(probabilities=[0.5]),
        with_raw("probabilities", '{"a": 1e400, "b": "0.5"}'),
        text(segments={"country": 5}), text(segments={"country": None}), text(segments="de"),
        text(event_id="", model_name="x" * 129, Input="x"),
    ],
    names.NOT_FINITE: [
        *(with_raw("latency_ms", n) for n in ("1e309", "-1e309", "1" + "0" * 400, "-" + "9" * 309)),
        with_raw("features", '{"a": 1, "b": 1e400}'), with_raw("probabilities", '{"a": -1e400}'),
        with_raw("gen_ai.usage.input_tokens", "1e999"),
    ],
    names.TOO_LONG: [
        *(text(**{name: "x" * 129}) for name in ("event_id", "model_name", "model_version")), text(event_id="🙂" * 129),
        *(text(**{name: "x" * 1025}) for name in ("prompt_version", "error.type", "gen_ai.request.model", "trace_id")),
        text(prompt_version="x" * 1025, latency_ms="fast"),
    ],
    names.WRONG_CASE: [
        text(**{name: 1}) for name in ("Event_Id", "INPUT", "Error.Type", "Schema_Version", "EVENT_TYPE")
    ],
    names.OLD_TIME: [
        text(event_time=written)
        for written in (
            "2014-12-31T23:59:59.999999Z", "2015-01-01T00:59:59+01:00", "1970-01-01T00:00:00Z", "1969-12-31T23:59:59Z",
            "1582-10-10T00:00:00Z", "0001-01-01T00:00:00Z", "0000-02-29T00:00:00+18:00",
        )
    ],
    names.FUTURE_TIME: [text(event_time="2026-11-25T03:05:00.250005Z"), text(event_time="9999-12-31T23:59:59-18:00")],
}  # fmt: skip


GOOD_FEEDBACK = [
    feedback(),
    feedback(kind=None, label=f"to {EMAIL}", source=KEY, mine={"who": EMAIL}),
    feedback(kind="rating", score=4),
    feedback(kind="judgement", score=0.5, event_type="feedback", schema_version=1),
]
REFUSED_FEEDBACK = {
    names.WRONG_TYPE: [feedback(event_type="prediction")],
    names.MISSING_FIELD: [text(), *(feedback(**{name: None}) for name in FEEDBACK_EVENT)],
    names.BAD_VALUE: [
        feedback(kind="guess"), feedback(kind=1), feedback(label=1), feedback(score="5"), feedback(feedback_id=""),
        feedback(prediction_time="x"), feedback(feedback_time="x"), feedback(source=[]),
    ],
    names.TOO_LONG: [feedback(feedback_id="x" * 129), feedback(source="x" * 1025)],
    names.WRONG_CASE: [feedback(Label="x")],
    names.NOT_FINITE: [feedback().replace(b"}", b', "score": 1e999}')],
    names.OLD_TIME: [
        feedback(prediction_time="2001-01-01T00:00:00Z"), feedback(feedback_time="1970-01-01T00:00:00Z"),
        feedback(prediction_time="2027-01-01T00:00:00Z", feedback_time="1970-01-01T00:00:00Z"),
    ],
    names.FUTURE_TIME: [
        feedback(prediction_time="2027-01-01T00:00:00Z"), feedback(feedback_time="2027-01-01T00:00:00Z"),
    ],
}  # fmt: skip


digits = st.text("0123456789", min_size=1, max_size=45)
numbers = st.builds(
    lambda sign, whole, fraction, exponent: Written(sign + (whole.lstrip("0") or "0") + fraction + exponent),
    st.sampled_from(("", "-")),
    digits | st.sampled_from(("0", "1", "12")),
    st.just("") | digits.map(lambda text: f".{text}"),
    st.sampled_from(("", "", "", "e3", "E-3", "e+20", "e-300", "e400")),
)
texts = st.text(max_size=12) | maskable_texts
known = st.sampled_from([f.json for f in (*names.PREDICTION_FIELDS, *names.FEEDBACK_FIELDS)])
keys = known | st.sampled_from(("mine", "schema_version", "event_type")) | st.text(max_size=5)
scalars = st.none() | st.booleans() | numbers | texts | st.sampled_from((NOW, "label", "prediction", 1))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(keys, inner), max_size=3).map(tuple),
    max_leaves=6,
)
maps = st.lists(st.tuples(st.text(max_size=4), scalars), max_size=3).map(tuple)
changes = st.lists(st.tuples(keys, values | maps), max_size=4)


@st.composite
def bodies(draw):
    """An event with some of its fields changed, as bytes of which some may be torn out or put in."""
    base = draw(st.sampled_from((PREDICTION, PREDICTION, FEEDBACK_EVENT)))
    changed = dict(draw(changes)) if draw(st.integers(0, 9)) else None
    pairs = list((base | changed).items()) if changed is not None else [*base.items(), *draw(changes)]
    body = rendered(tuple(pairs)).encode()
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(body)))
        body = body[:at] + draw(st.binary(max_size=3)) + body[at + draw(st.integers(0, 3)) :]
    return ("predictions" if base is PREDICTION else "feedback"), body


def logged(bodies_by_hub):
    """The events as they lie in their hubs, each in its own place."""
    return [
        LoggedEvent(hub, str(i % 3), 2**40 + i, ENQUEUED + timedelta(microseconds=i % 5), body)
        for i, (hub, body) in enumerate(bodies_by_hub)
    ]


def expected(event):
    """All columns that the parser gives to an event."""
    judged = judge(event, is_feedback=event.hub == "feedback", future_tolerance_seconds=300)
    row = dict.fromkeys([*OWN["predictions"], *OWN["feedback"], "reason", "sha256", "body"])
    row |= judged.values if judged.reason is None else judged.dead_letter
    place = {"hub": event.hub, "partition": event.partition, "offset": event.offset, "enqueued_time": event.enqueued}
    return row | place | {"record": "feedback" if judged.is_feedback else "prediction"}


def alike(value):
    """Doubles in texts as their shortest spelling: before Java 19 some have a digit more, and are the same number."""
    if isinstance(value, dict):
        return {name: alike(one) for name, one in value.items()}
    return _DOUBLE.sub(lambda found: repr(float(found[0])), value) if isinstance(value, str) else value


_DOUBLE = re.compile(r"-?\d\.\d+E-?\d+")


def differences(spark, events, reference):
    """What the parser says otherwise than the reference: body, column, reference, parser. One Spark action."""
    # Of a refused event only what a dead letter holds is compared; its keys may come twice, which no mapping holds.
    # Nor has Python a date for the year 0.
    fit = {name: expr(f"CASE WHEN reason IS NULL THEN {name} END") for name in {*OWN["predictions"], *OWN["feedback"]}}
    table = parsed(Parser(Settings()), spark, events).withColumns(fit).toArrow()
    found = {(r["hub"], r["partition"], r["offset"]): r for r in table.to_pylist(maps_as_pydicts="strict")}
    assert len(found) == len(events) == table.num_rows
    different = []
    for event, wanted in zip(events, reference, strict=True):
        row = found[event.place]
        compared = wanted if wanted["reason"] is None else ("reason", "sha256", "body", "record", "enqueued_time")
        different += [(event.body[:300], c, wanted[c], row[c]) for c in compared if alike(row[c]) != alike(wanted[c])]
        if (row["detail"] is None) != (row["reason"] is None):
            different.append((event.body[:300], "detail", wanted["reason"], row["detail"]))
    return different


def test_parse_gives_each_body_its_reason_or_its_values(spark):
    cases = [
        *(("predictions", body, None) for body in GOOD),
        *(("predictions", body, reason) for reason, refused in REFUSED.items() for body in refused),
        *(("feedback", body, None) for body in GOOD_FEEDBACK),
        *(("feedback", body, reason) for reason, refused in REFUSED_FEEDBACK.items() for body in refused),
    ]
    events = logged([(hub, body) for hub, body, _ in cases])
    wanted = [(body[:300], reason) for _, body, reason in cases]
    reference = [expected(event) for event in events]
    assert [(e.body[:300], row["reason"]) for e, row in zip(events, reference, strict=True)] == wanted
    assert differences(spark, events, reference) == []


_TOO_RARE = {names.TOO_LARGE, names.TOO_LONG, names.NOT_FINITE, names.OLD_TIME}
"""Hardly drawn by chance; the cases above and the fuzz have them."""


def test_parse_equals_the_reference_on_generated_and_on_seeded_events(spark):
    sent = seeded_events(7, ENQUEUED, 1500)
    generated = drawn(bodies(), 1500)
    events = logged([*((FEEDBACK if e.hub == FEEDBACK else "predictions", e.body) for e in sent), *generated])
    reference = [expected(event) for event in events]
    assert {row["reason"] for row in reference} >= {None, *names.REASONS} - _TOO_RARE
    assert differences(spark, events, reference) == []


def second_version():
    """A contract of two versions: the second calls ``input`` a prompt, requires a latency, and knows ``tenant``."""
    first = [replace(field, until=1) if field.json == "input" else field for field in names.PREDICTION_FIELDS]
    second = [
        names.EventField("gen_ai.prompt", "input", "string", required=True, since=2, max_characters=20),
        names.EventField("latency_s", "latency_ms", "double", required=True, since=2),
        names.EventField("tenant", "tenant", "string", default="none", since=2),
    ]
    fields = {names.PREDICTION: (*first, *second), names.FEEDBACK: names.FEEDBACK_FIELDS}
    return names.EventContract((1, 2), fields)


def test_versions_are_read_side_by_side_and_a_new_one_is_data(spark):
    whole = {"schema_version": 2, "gen_ai.prompt": "hi", "latency_s": 0.5}
    cases = [
        (text(input="hi", latency_ms=2), (None, "hi", 2.0, None, None)),
        (text(schema_version=1, input="hi", gen=1), (None, "hi", None, None, {"gen": "1"})),
        (text(**whole), (None, "hi", 0.5, "none", None)),
        (text(input="hi", tenant="a"), (None, "hi", None, None, {"tenant": "a"})),
        (
            text(**{"gen_ai.prompt": 5, "latency_s": "x", "Tenant": 1}),
            (None, None, None, None, {"gen_ai.prompt": "5", "latency_s": "x", "Tenant": "1"}),
        ),
        (text(**whole, tenant="a"), (None, "hi", 0.5, "a", None)),
        (text(**whole, input="old name"), (None, "hi", 0.5, "none", {"input": "old name"})),
        (text(**whole | {"latency_s": None}), names.MISSING_FIELD),
        (text(schema_version=2), names.MISSING_FIELD),
        (text(**whole, Tenant="a"), names.WRONG_CASE),
        (text(**whole | {"gen_ai.prompt": "x" * 21}), names.TOO_LONG),
        (text(**whole | {"schema_version": 3}), names.UNKNOWN_VERSION),
    ]
    events = logged([("predictions", body) for body, _ in cases])
    rows = parsed(Parser(Settings(), second_version()), spark, events).orderBy("offset").collect()
    found = [row.reason or (None, row.input, row.latency_ms, row.tenant, row.extra) for row in rows]
    assert found == [wanted for _, wanted in cases]


def test_no_address_and_no_key_leaves_the_parser(spark):
    secrets = [("predictions", b) for b in GOOD] + [("feedback", b) for b in GOOD_FEEDBACK]
    secrets += [("predictions", b) for b in REFUSED[names.NOT_JSON_OBJECT]]
    secrets += [("predictions", text(note=EMAIL, key=KEY, input=f"\\u0040 {EMAIL}", schema_version=2))]
    rows = parsed(Parser(Settings()), spark, logged(secrets)).drop("sha256").collect()
    shown = repr(rows)
    assert EMAIL not in shown
    assert KEY not in shown
    assert "[email]" in shown
    assert "[secret]" in shown


def test_parse_compiles_its_code_for_the_first_batch_only(spark):
    # Compiling takes seconds, so a plan that differed from batch to batch would take longer than its events last.
    parser = Parser(Settings())
    compilations = spark._jvm.org.apache.spark.metrics.source.CodegenMetrics.METRIC_COMPILATION_TIME()
    events = logged([(e.hub, e.body) for e in seeded_events(8, ENQUEUED, 300)])
    counts = []
    for batch in (events[:100], events[100:200], events[200:]):
        assert len(parsed(parser, spark, batch).collect()) == 100
        counts.append(compilations.getCount())
    assert counts[1] == counts[2]
