"""Events that are looked at field by field: refused with a reason, or taken as they were meant. Pure, in the JVM.

Spark's JSON reader forgives much. What it forgives is checked here: text after the object, a key that comes twice or in
another case, NaN and infinities, bytes that are not UTF-8, and values of the wrong kind, which Spark would turn into
null or into text. A plain event, which :mod:`pegel.streaming.ingest.parse` reads at once, would get the same row here.
"""

from collections.abc import Sequence

from pyspark.sql import DataFrame

from pegel.schemas import events
from pegel.streaming.ingest.contract import READ, REASON, ContractSql

# Escapes such as \u0040 would hide an address from masking, so printable characters are shown, quotes and \ apart.
_ESCAPE = r"\\u00"
_PRINTABLE = "^(2[013-9a-fA-F]|[346][0-9a-fA-F]|5[0-9abd-fABD-F]|7[0-9a-eA-E])"
_SHOWN = (
    rf"array_join(transform(split(body, '\\{_ESCAPE}'), (x, i) -> CASE WHEN i = 0 THEN x "
    rf"WHEN x RLIKE '{_PRINTABLE}' THEN concat(char(CAST(conv(substr(x, 1, 2), 16, 10) AS INT)), substr(x, 3)) "
    rf"ELSE concat('{_ESCAPE}', x) END), '')"
)
_VALID_BODY = "make_valid_utf8(CAST(body AS STRING))"
# What is larger than an event may be is not kept: one event must not cost what many do.
_KEEPS_BODY = f"{REASON} <> '{events.TOO_LARGE}'"
_BODY = f"CASE WHEN contains(body, '{_ESCAPE}') THEN {_SHOWN} ELSE body END"


def by_field(rows: DataFrame, sql: ContractSql) -> DataFrame:
    """Add what comes of looking at each field of the events that are not plain; null in plain ones.

    A step is one struct that only such an event gets: so a plain one passes by a step with one question, and what no
    compiler can make fast, since it is too large, is not in its way.

    Args:
        rows: ``record, plain, enqueued_time``, and of an event that is not plain ``body`` and ``text``.
        sql: of the contract.

    Returns:
        the rows with the columns of ``predictions`` and ``feedback`` that are in the contract, ``extra``; ``reason``
        and ``detail`` where an event is refused, and then ``sha256`` of its bytes and ``body``, readable, unless it is
        larger than an event may be.
    """
    steps = (
        [f"{READ} AS read"],
        sql.raws(),
        sql.kinds_and_values(),
        [sql.unknown()],
        sql.extra_and_findings(),
        [f"{sql.reason()} AS {REASON}"],
        [
            f"{sql.detail()} AS detail",
            f"CASE WHEN {REASON} IS NOT NULL THEN sha2(body, 256) END AS sha256",
            f"CASE WHEN {_KEEPS_BODY} THEN {_VALID_BODY} END AS body",
        ],
        [f"{_BODY} AS body"],
    )
    for step in steps:
        rows = _with(rows, step)
    return rows


def _with(rows: DataFrame, named: Sequence[str]) -> DataFrame:
    """Spark works out a step's columns once, and a column within a column repeatedly: so each use is a further step."""
    parts = [expression.rsplit(" AS ", 1) for expression in named]
    names = [name for _, name in parts]
    struct = ", ".join(f"'{name}', {value}" for value, name in parts)
    others = [name for name in rows.columns if name not in names]
    rows = rows.selectExpr("*", f"CASE WHEN NOT plain THEN named_struct({struct}) END AS step")
    return rows.selectExpr(*others, *(f"step.{name} AS {name}" for name in names))
