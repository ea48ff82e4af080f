"""Masking of a text column, in the JVM. Pure: Column → Column.

The rules and their promises are in :mod:`pegel.schemas.masking`; ``masked`` means the same as ``mask`` there.
"""

from functools import reduce
from itertools import groupby

from pyspark.sql import Column
from pyspark.sql import functions as F  # noqa: N812

from pegel.schemas.masking import RULES, MaskingRule


def masked(column: Column) -> Column:
    """Mask a string column; null stays null.

    Five expressions on every text cost six times what parsing it does, so a text meets them only if it holds one of
    their marks, which is a search for bytes. Each group of rules stands in both branches of the next, so give this a
    plain column, not a long expression.
    """
    result = column
    for marks, rules in groupby(RULES, key=lambda rule: rule.marks):
        holds_mark = reduce(Column.__or__, (column.contains(mark) for mark in marks))
        result = F.when(holds_mark, reduce(_apply, rules, result)).otherwise(result)
    return result


def _apply(text: Column, rule: MaskingRule) -> Column:
    return F.regexp_replace(text, rule.pattern, rule.replacement)
