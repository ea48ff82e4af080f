"""What a chain shows and what it cannot: edits, swaps, insertions and deletions, done clumsily and done with care."""

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pegel.schemas.audit import (
    GENESIS,
    MAX_EVIDENCE_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    Anchor,
    AuditRecord,
    Decision,
    chain,
    decide,
    from_row,
    read_head,
    to_row,
    write_head,
)
from pegel.schemas.audit_verification import MAX_FINDINGS, Verification

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
TEXTS = [field.name for field in fields(Decision) if field.name != "at"]


def decision(number: int) -> Decision:
    at = NOON + timedelta(seconds=number)
    return Decision(at, "caller", "serving.predict", "assistant", "allowed", f"reason {number}", f'{{"n":{number}}}')


def written(length: int) -> list[AuditRecord]:
    return list(chain("serve", (-1, GENESIS), [decision(n) for n in range(length)]))


def anchored(records: Sequence[AuditRecord], *numbers: int) -> list[Anchor]:
    return [Anchor(n, records[n].hash, f"alert {n}") for n in numbers]


def findings(records: Sequence[AuditRecord], anchors: Sequence[Anchor] = (), writer: str = "serve") -> list[str]:
    in_order = sorted(records, key=lambda record: record.sequence)
    return Verification(writer, anchors).read(in_order).findings


def written_anew(decisions: Sequence[Decision]) -> list[AuditRecord]:
    """What somebody makes who can write the table and knows how hashes are made."""
    return list(chain("serve", (-1, GENESIS), decisions))


lengths = st.integers(3, 12)


@given(lengths, st.data())
def test_nothing_is_found_in_an_untouched_chain(length, data):
    records = written(length)
    numbers = data.draw(st.lists(st.integers(0, length - 1)))
    seen = Verification("serve", anchored(records, *numbers)).read(records)
    assert seen.findings == []
    assert seen.records == length
    assert seen.unanchored == length - 1 - max(numbers, default=-1)


def test_an_empty_chain_is_intact_unless_an_anchor_says_it_was_not_empty():
    assert findings([]) == []
    assert "it was deleted" in findings([], anchored(written(1), 0))[0]


@given(lengths, st.data(), st.sampled_from(TEXTS), st.text(max_size=5))
def test_an_edited_text_is_found_without_any_anchor(length, data, name, text):
    records = written(length)
    number = data.draw(st.integers(0, length - 1))
    assume(getattr(records[number].decided, name) != text)
    records[number] = replace(records[number], decided=replace(records[number].decided, **{name: text}))
    assert any(f"record {number} was edited" in sentence for sentence in findings(records))


@given(lengths, st.data(), st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=9)))
def test_an_edited_time_is_found_to_the_microsecond(length, data, later):
    records = written(length)
    number = data.draw(st.integers(0, length - 1))
    decided = records[number].decided
    records[number] = replace(records[number], decided=replace(decided, at=decided.at + later))
    assert findings(records)


@given(lengths, st.data())
def test_an_edit_with_all_hashes_written_anew_is_found_at_the_next_anchor(length, data):
    records = written(length)
    number = data.draw(st.integers(0, length - 1))
    anchor = data.draw(st.integers(number, length - 1))
    decisions = [record.decided for record in records]
    decisions[number] = replace(decisions[number], decision="refused")
    assert any("written anew" in sentence for sentence in findings(written_anew(decisions), anchored(records, anchor)))


@given(lengths, st.data(), st.booleans())
def test_two_records_that_change_places_are_found(length, data, careful):
    records = written(length)
    one, other = data.draw(st.lists(st.integers(0, length - 1), min_size=2, max_size=2, unique=True))
    decisions = [record.decided for record in records]
    decisions[one], decisions[other] = decisions[other], decisions[one]
    swapped = written_anew(decisions) if careful else [
        replace(record, decided=decided) for record, decided in zip(records, decisions, strict=True)
    ]  # fmt: skip
    assert findings(swapped, anchored(records, max(one, other)))


@given(lengths, st.data(), st.booleans())
def test_a_deleted_record_before_an_anchor_is_found(length, data, careful):
    records = written(length)
    number = data.draw(st.integers(0, length - 1))
    anchor = data.draw(st.integers(number, length - 1))
    left = records[:number] + records[number + 1 :]
    there = written_anew([record.decided for record in left]) if careful else left
    assert findings(there, anchored(records, anchor))


@given(lengths, st.data(), st.booleans())
def test_an_inserted_record_before_an_anchor_is_found(length, data, careful):
    records = written(length)
    number = data.draw(st.integers(0, length - 1))
    decisions = [record.decided for record in records]
    decisions.insert(number, decision(99))
    there = written_anew(decisions) if careful else [*records, replace(records[number], decided=decision(99))]
    assert findings(there, anchored(records, length - 1))


@given(lengths, st.data())
def test_the_same_record_twice_is_found(length, data):
    records = written(length)
    assert "is there twice" in findings([*records, data.draw(st.sampled_from(records))])[0]


@given(lengths, st.data())
def test_records_cut_off_behind_the_last_anchor_cannot_be_found_and_are_counted_beforehand(length, data):
    records = written(length)
    anchor = data.draw(st.integers(0, length - 1))
    before = Verification("serve", anchored(records, anchor)).read(records)
    kept = data.draw(st.integers(anchor + 1, length))
    after = Verification("serve", anchored(records, anchor)).read(records[:kept])
    assert after.findings == []
    assert length - kept <= before.unanchored == length - 1 - anchor


@given(lengths)
def test_the_chain_of_another_writer_is_not_taken_for_ones_own(length):
    assert findings(written(length), writer="webhook")


def test_of_a_shuffled_table_only_so_many_sentences_are_said():
    backwards = [replace(record, sequence=99 - record.sequence) for record in written(100)]
    assert len(findings(backwards)) == MAX_FINDINGS


@given(lengths)
def test_a_record_is_the_same_after_it_was_a_row(length):
    records = written(length)
    assert [from_row(to_row(record)) for record in records] == records


@given(st.integers(0, 2**62), st.text("0123456789abcdef", min_size=64, max_size=64))
def test_a_head_is_read_as_it_was_written(sequence, digest):
    assert read_head(write_head((sequence, digest))) == (sequence, digest)


@pytest.mark.parametrize("text", ["", "7", "7:", ":ab", "-1:ab", "x:ab", "²:ab"])
def test_what_is_no_head_is_not_read_as_one(text):
    assert read_head(text) is None


everything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.text(), st.dictionaries(st.text(), everything, max_size=4))
def test_whatever_is_said_becomes_a_record_that_can_be_stored(text, evidence):
    said = dict.fromkeys(("actor", "action", "subject", "decision", "reason"), text)
    made = decide(at=NOON, evidence=evidence, **said)
    (record,) = chain("serve", (-1, GENESIS), [made])
    assert json.loads(made.evidence) is not None
    for value in (made.reason, made.evidence):
        value.encode("utf-8")
    assert len(made.reason) <= MAX_TEXT_CHARACTERS
    assert len(made.evidence) <= MAX_EVIDENCE_CHARACTERS
    assert findings([record]) == []


def test_secrets_and_long_texts_do_not_get_in():
    said = dict.fromkeys(("actor", "action", "subject", "decision"), "x")
    made = decide(at=NOON, reason="mail ada@example.org", evidence={"deep": [{"text": "password: hunter2"}]}, **said)
    assert "ada@" not in made.reason
    assert "hunter2" not in made.evidence
    long = decide(at=NOON, reason="word " * 1000, evidence={str(n): "word " * 90 for n in range(40)}, **said)
    assert len(long.reason) == MAX_TEXT_CHARACTERS
    assert json.loads(long.evidence)["cut"] is True
