"""The card: one that a person has read, and that nothing from outside can do anything in it."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pegel.lifecycle.markdown import MAX_CHARACTERS, escape, table
from pegel.lifecycle.model_card import Ancestor, CardFacts, Monitoring, Move, Step, render
from pegel.schemas.usage_policy import ForbiddenUse, Risk, UsagePolicy

GOLDEN = Path(__file__).with_name("model_card.golden.md")
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)

FACTS = CardFacts(
    model="assistant",
    version="2",
    at=NOON,
    created_at=NOON - timedelta(hours=2),
    run_id="0123456789abcdef0123456789abcdef",
    code_version="0.1.0",
    validation="passed",
    aliases=["champion"],
    tags={"pegel.baseline_id": "base-2", "pegel.grid": "grid-1"},
    params={"training_rows": "1200", "classes": "4"},
    training={"batch_id_max": 41, "rows": 900, "checksum": "ab12", "holdout_share": 0.3},
    baseline="base-2 on grid grid-1: 270 newest labelled live rows",
    retraining="incident-1:1",
    ancestors=[Ancestor("1", "no incident", '{"batch_id_max": null, "rows": 300, "source": "rows.jsonl"}')],
    moves=[Move(NOON - timedelta(hours=1), became=True, by="incident-1:1", reason="promoted")],
    steps=[
        Step("started", NOON - timedelta(hours=3), "1", None, None, "onset 2026-11-27T08:00:00+00:00"),
        Step("promoted", NOON - timedelta(hours=1), "1", 0.71, 0.935, "on 60 validation rows it is right in 93.5%"),
    ],
    fairness={"accuracy/channel/web": 0.94, "accuracy_difference/channel": 0.0312},
    usage=UsagePolicy(
        disclosure="This answer was made by a machine.",
        purposes={"customer-support": Risk.LOW, "advice": Risk.HIGH},
        forbidden_uses=(ForbiddenUse("social-scoring", "People are not rated."),),
    ),
    monitoring=Monitoring(
        windows=12, accuracy=0.925, blocks=40, events=4213, ringing={"confidence": 2}, alerts={"opened": 1},
        first=NOON - timedelta(minutes=50), last=NOON,
    ),
)  # fmt: skip


def test_card_is_the_one_that_was_read():
    assert render(FACTS) == GOLDEN.read_text(encoding="utf-8")


def test_card_of_a_version_of_which_little_is_known_says_so():
    little = CardFacts("m", "1", NOON, NOON, "run", "0.1.0", "")
    card = render(little)
    for sentence in (
        "it was compared with no champion",
        "No fairness metrics were logged",
        "The usage policy forbids no use by name",
        "Its drift verdicts are uncalibrated",
        "It has no baseline",
        "Nothing was written down about the rows",
    ):
        assert sentence in card


def test_limitations_go_when_what_they_say_is_known():
    assert "were logged" not in render(FACTS)
    assert "for some groups was not measured" not in render(FACTS)
    assert "for some groups was not measured" in render(replace(FACTS, fairness={}))
    calibrated = replace(FACTS, monitoring=replace(FACTS.monitoring, calibrated=True))
    assert "uncalibrated" in render(FACTS)
    assert "uncalibrated" not in render(calibrated)


MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])

hostile = st.one_of(
    st.text(),
    st.text(st.sampled_from("<>&|`*_[]()!#\\~{}:.@$^+-=\n\r\t\"'/ aA1&lt;ww"), max_size=40),
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            "![x](javascript:alert(1))",
            "a | b | c\n|---|---|",
            "\n\n# heading\n\n- list",
            "<https://evil.example>",
            "www.evil.example WWW.evil.example http://evil.example MailTo:a@evil.example xmpp:a@b.c wwww.x :/",
            "&lt;b&gt;",
            "`code` **bold** ~~gone~~",
            "[x]: http://evil.example\n[x]",
            "\\<img src=x onerror=alert(1)>",
            "\u202egnp.exe",
        ]
    ),
)


def tokens(markdown: str) -> list[Any]:
    return [token for block in MARKDOWN.parse(markdown) for token in (block, *(block.children or ()))]


@given(hostile)
def test_text_from_outside_is_shown_as_it_is_and_does_nothing(text):
    cell = table(("What", "Is"), [(text, "after")])
    found = tokens(f"{cell}\n- label: {escape(text)}\n")
    assert {token.type for token in found} <= {
        "table_open", "thead_open", "tr_open", "th_open", "inline", "text", "th_close", "tr_close", "thead_close",
        "tbody_open", "td_open", "td_close", "tbody_close", "table_close", "bullet_list_open", "list_item_open",
        "paragraph_open", "paragraph_close", "list_item_close", "bullet_list_close", "text_special",
    }  # fmt: skip
    assert [token.type for token in found].count("td_open") == 2
    assert [token.type for token in found].count("list_item_open") == 1


@given(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=MAX_CHARACTERS))
def test_a_reader_sees_the_text_itself(text):
    (paragraph,) = [token for token in MARKDOWN.parse(f"x{escape(text)}") if token.type == "inline"]
    assert "".join(child.content for child in paragraph.children or ()) == f"x{text}"


@given(hostile)
def test_a_reader_who_takes_it_for_html_finds_no_tag_and_no_entity_of_somebody_else(text):
    shown = escape(text)
    assert "<" not in shown
    assert ">" not in shown
    assert shown.replace("&lt;", "").replace("&gt;", "").replace("&amp;", "").count("&") == 0
    assert "\n" not in shown
    assert not re.search(r"www\.|(?<!\\):/|mailto:|xmpp:|(?<!\\)@", shown, re.IGNORECASE)
    assert all(char.isprintable() for char in shown)


@given(hostile, hostile)
def test_a_card_of_hostile_names_has_its_eight_sections_and_no_html(name, other):
    facts = replace(
        FACTS,
        model=name,
        version=other,
        tags={name: other},
        params={other: name},
        training={name: other, "batch_id_max": name},
        retraining=name,
        baseline=other,
        ancestors=[Ancestor(name, other, name)],
        moves=[replace(FACTS.moves[0], by=name, reason=other)],
        steps=[replace(FACTS.steps[1], detail=name, champion=other, state=other)],
        fairness={name: 1.0},
        usage=UsagePolicy(name, {other: Risk.LOW}, (ForbiddenUse(name, other),)),
        monitoring=replace(FACTS.monitoring, ringing={name: 1}, alerts={other: 1}),
    )
    found = tokens(render(facts))
    assert [token.tag for token in found if token.type == "heading_open"] == ["h1", *["h2"] * 8]
    assert not {"html_block", "html_inline", "link_open", "image", "code_inline"} & {token.type for token in found}


def test_long_text_is_cut():
    assert len(escape("a" * 9_999)) == MAX_CHARACTERS
