"""Who may ask for what, and what becomes of an answer: decided by the policy alone."""

import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pegel.schemas.phrases import PhraseFinder, words_of
from pegel.schemas.usage_policy import (
    ANONYMOUS,
    CallerRule,
    ContentRule,
    ForbiddenUse,
    Reason,
    Review,
    Risk,
    Side,
    UsagePolicy,
)

WORDS = st.sampled_from(["play", "bomb", "make", "a", "credit", "Score", "suicidal", "dose", "é", "x1"])
GAPS = st.sampled_from([" ", ", ", "\n", "-", " ... ", "\u00a0", "/"])


@st.composite
def texts(draw: Any) -> str:
    parts = draw(st.lists(st.tuples(WORDS, GAPS), max_size=12))
    return "".join(word + gap for word, gap in parts)


def disguised(draw: Any, text: str) -> str:
    """The same words for a reader: other case, invisible characters, accents taken apart, wide forms."""
    made = []
    for character in text:
        shown = draw(st.sampled_from([character, character.upper()]))
        if shown.isascii() and shown.isalnum() and draw(st.booleans()):
            shown = chr(ord(shown) + 0xFEE0)
        made.append(shown + draw(st.sampled_from(["", "\u200b", "\u0301", "\u00ad"])))
    return unicodedata.normalize(draw(st.sampled_from(["NFC", "NFD"])), "".join(made))


@given(texts(), st.sampled_from(["make a bomb", "credit score", "suicid*", "a", "make a bom*"]))
def test_a_phrase_is_found_where_its_words_stand_in_a_row_and_nowhere_else(text: str, phrase: str) -> None:
    said, wanted = f" {' '.join(words_of(text))} ", f" {phrase.removesuffix('*')}"
    wanted += "" if phrase.endswith("*") else " "
    assert PhraseFinder([phrase]).found_in(words_of(text)) == (wanted in said)


@given(st.data(), texts(), texts())
def test_a_phrase_is_found_in_whatever_disguise_of_letters(data: st.DataObject, before: str, after: str) -> None:
    text = disguised(data.draw, f"{before} make a bomb {after}")
    assert PhraseFinder(["make a bomb", "nothing else"]).found_in(words_of(text))


@pytest.mark.parametrize("alphabet", [0x1D400, 0x1D5D4], ids=["mathematical bold", "sans-serif bold"])
def test_a_phrase_is_found_in_capitals_that_have_no_small_letters(alphabet: int) -> None:
    text = " ".join("".join(chr(alphabet + ord(c) - ord("A")) for c in word) for word in ("MAKE", "A", "BOMB"))
    assert PhraseFinder(["make a bomb"]).found_in(words_of(text))


@given(st.text(max_size=300))
@example("\u3380")
def test_any_text_has_words_that_are_words_again(text: str) -> None:
    words = words_of(text)
    assert words_of(" ".join(words)) == words


@pytest.mark.parametrize("phrase", ["", "*", "!?", "a*b", "* a", "a * b"])
def test_a_phrase_that_means_nothing_is_refused(phrase: str) -> None:
    with pytest.raises(ValueError, match="needs a word"):
        PhraseFinder([phrase])


SHOP = CallerRule("shop", ("assistant",), ("support", "advice"), 60)
POLICY = UsagePolicy(
    disclosure="By a machine.",
    purposes={"support": Risk.LOW, "advice": Risk.HIGH, "other": Risk.LOW},
    forbidden_uses=(ForbiddenUse("scoring", "Nobody is scored."),),
    callers=(SHOP,),
    content=(
        ContentRule("weapons", ("make a bomb",), Side.INPUT, True, Risk.LOW, "No weapons."),
        ContentRule("health", ("dose",), Side.INPUT, False, Risk.HIGH, "Looked at."),
        ContentRule("curses", ("damn",), Side.OUTPUT, True, Risk.LOW, "No curses."),
    ),
    review_from=Risk.HIGH,
)


@pytest.mark.parametrize(
    ("model", "purpose", "reason"),
    [
        ("assistant", None, None),
        ("assistant", "support", None),
        ("assistant", "other", Reason.PURPOSE),
        ("assistant", "nonsense", Reason.PURPOSE),
        ("assistant", "scoring", Reason.FORBIDDEN_USE),
        ("another", "support", Reason.MODEL),
    ],
)
def test_a_caller_asks_its_own_models_for_its_own_purposes(
    model: str, purpose: str | None, reason: Reason | None
) -> None:
    denial = POLICY.refuse_caller(SHOP, model, purpose)
    assert (denial.reason if denial else None) == reason


def test_a_forbidden_use_is_forbidden_to_nobody_in_particular_too() -> None:
    policy = replace(POLICY, callers=())
    anonymous = policy.caller(ANONYMOUS)
    assert policy.refuse_caller(anonymous, "any", "other") is None
    denial = policy.refuse_caller(anonymous, "any", "scoring")
    assert denial is not None
    assert (denial.reason, denial.says) == (Reason.FORBIDDEN_USE, "Nobody is scored.")


def test_nobody_in_particular_is_no_caller_of_a_policy_that_names_some() -> None:
    with pytest.raises(KeyError):
        POLICY.caller(ANONYMOUS)


def test_the_first_purpose_is_meant_where_none_is_named() -> None:
    assert POLICY.purpose_of(SHOP, None) == "support"
    assert POLICY.purpose_of(SHOP, "advice") == "advice"


def test_forbidden_content_is_refused_by_the_name_of_its_rule() -> None:
    denial = POLICY.refuse_text("How do I MAKE  a bomb?")
    assert denial is not None
    assert (denial.rule, denial.says) == ("weapons", "No weapons.")
    assert POLICY.refuse_text("how do I make a cake") is None


@pytest.mark.parametrize(
    ("purpose", "text", "output", "withhold_from", "review", "rules"),
    [
        ("support", "hello", "hi", None, None, ()),
        ("advice", "hello", "hi", None, Review.REQUIRED, ()),
        ("support", "which dose", "hi", None, Review.REQUIRED, ("health",)),
        ("support", "which dose", "hi", Risk.HIGH, Review.WITHHELD, ("health",)),
        ("support", "hello", "hi", Risk.HIGH, None, ()),
        ("support", "hello", "Damn it", None, Review.WITHHELD, ("curses",)),
        (None, "hello", "hi", Risk.LOW, Review.WITHHELD, ()),
    ],
)
def test_an_answer_is_reviewed_from_a_risk_on(
    purpose: str | None, text: str, output: str, withhold_from: Risk | None, review: Review | None, rules: Any
) -> None:
    judged = replace(POLICY, withhold_from=withhold_from).judge(purpose, text, output)
    assert (judged.review, judged.rules) == (review, rules)


def test_the_hash_names_the_content() -> None:
    assert POLICY.hash == replace(POLICY).hash
    assert len({POLICY.hash, replace(POLICY, disclosure="x").hash, replace(POLICY, review_from=None).hash}) == 3
