"""Masking of a text column, in the JVM. Pure: Column → Column.

The rules and their promises are in :mod:`pegel.schemas.masking`; ``masked`` means the same as ``mask`` there.
"""

from collections.abc import Callable
from functools import reduce

from pyspark.sql import Column
from pyspark.sql import functions as F  # noqa: N812

from pegel.schemas.masking import FAMILIES, IDENTIFIER_DIGITS, MIN_BYTES, SIGNS, UUID
from pegel.schemas.masking_rule import NO_DIGIT, NO_SIGN, Checksum, MaskingRule, RuleFamily, by_hint
from pegel.streaming.java_classes import spelt_out

APART = "    "
"""Between texts that are searched as one: longer than the gap that a hint allows between digits, and it ends a word."""


def masked(column: Column) -> Column:
    """Mask a string column; null stays null.

    All rules on every text cost more than all the rest of ingest, so a text meets them only if it holds one of a few
    signs, and then only those whose hint it holds, and whose family's. ``column`` stands in both branches, so give this
    a plain column, not a long expression.
    """
    return F.when(may_match(column), by_rules(column)).otherwise(column)


def may_match(column: Column) -> Column:
    """Whether a text holds one of the signs, without which no rule changes it; null for null."""
    return (F.octet_length(column) >= MIN_BYTES) & holds_sign(column)


def holds_sign(column: Column) -> Column:
    """The same of any length. Of texts that are joined with :data:`APART` it is true if it is true of one of them."""
    return column.rlike(spelt_out(SIGNS))


def by_rules(text: Column) -> Column:
    """``masked`` of a text that may match; null stays null."""
    return reduce(lambda column, family: _let(column, _by_family(family)), FAMILIES, text)


def identifier_may_match(column: Column) -> Column:
    """Whether an id may have to be masked; few do. Null for null."""
    return ~column.rlike(spelt_out(f"^{UUID}\\z")) & may_match(column)


def identifier_by_rules(column: Column) -> Column:
    """Mask an id that may have to be; the same as ``mask_identifier``."""
    return _let(by_rules(column), lambda text: F.when(text == column, text).otherwise(_marked(text, column)))


def _marked(masked_id: Column, column: Column) -> Column:
    return F.concat(masked_id, F.lit("#"), F.substring(F.sha2(column.cast("binary"), 256), 1, IDENTIFIER_DIGITS))


def _by_family(family: RuleFamily) -> Callable[[Column], Column]:
    groups = list(by_hint(family.rules))
    if [hint for hint, _ in groups] == [family.hint]:
        return _guarded(family.hint, lambda text: reduce(_apply, family.rules, text))
    return _guarded(
        family.hint,
        lambda text: reduce(
            lambda column, group: _let(column, _guarded(group[0], lambda one: reduce(_apply, group[1], one))),
            groups,
            text,
        ),
    )


def _guarded(hint: str, replace: Callable[[Column], Column]) -> Callable[[Column], Column]:
    return lambda text: F.when(text.rlike(spelt_out(hint)), replace(text)).otherwise(text)


def _let(value: Column, body: Callable[[Column], Column]) -> Column:
    """``body`` of a value that is worked out once, however often it stands there: each group doubled the plan else."""
    return F.transform(F.array(value), body).getItem(0)


def _apply(text: Column, rule: MaskingRule) -> Column:
    if rule.checksum is Checksum.NONE:
        return F.regexp_replace(text, spelt_out(rule.pattern), rule.replacement)
    # Taking a text apart costs more than finding out that there is no need to.
    return _let(text, _guarded(rule.pattern, lambda whole: _replace_checked(whole, rule)))


# Splitting by a pattern compiles it for every text, which takes longer than all else that is done with the text.
_MARK = "\0"


def _replace_checked(text: Column, rule: MaskingRule) -> Column:
    """What lies between the matches, each followed by its match or by what replaces it."""
    pattern = spelt_out(rule.pattern)
    between = F.when(text.contains(_MARK), F.split(text, pattern, -1)).otherwise(
        F.split(F.regexp_replace(text, pattern, _MARK), _MARK, -1)
    )
    matches = F.regexp_extract_all(text, F.lit(pattern), F.lit(0))
    pieces = F.zip_with(
        between, matches, lambda piece, match: F.concat(piece, F.coalesce(_checked(match, rule), F.lit("")))
    )
    return F.array_join(pieces, "")


def _checked(match: Column, rule: MaskingRule) -> Column:
    return F.when(_SATISFIES[rule.checksum](match), F.lit(rule.replacement)).otherwise(match)


def _luhn(match: Column) -> Column:
    return F.call_function("luhn_check", F.regexp_replace(match, NO_DIGIT, ""))


def _mod_97(match: Column) -> Column:
    def moved(written: Column) -> Column:
        return F.split(F.concat(F.substring(written, 5, 34), F.substring(written, 1, 4)), "")

    def step(rest: Column, sign: Column) -> Column:
        code = F.ascii(sign)
        # A to Z and a to z have the lowest five bits 1 to 26, and stand for 10 to 35.
        return F.when(code < ord("A"), (rest * 10 + code - ord("0")) % 97).otherwise(
            (rest * 100 + code.bitwiseAND(31) + 9) % 97
        )

    signs = moved(F.regexp_replace(match, NO_SIGN, ""))
    return F.aggregate(signs, F.lit(0), step) == 1


_SATISFIES: dict[Checksum, Callable[[Column], Column]] = {Checksum.LUHN: _luhn, Checksum.MOD_97: _mod_97}
