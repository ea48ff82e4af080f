"""How language models answered: finish reasons, truncated and withheld answers, filter findings, as shares. Pure.

All of it is counts by name. A value that is missing is unknown and never taken for harmless: it is no part of a share,
and how many are missing is a number of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pegel.errors import ContractError
from pegel.schemas.grids import MISSING_NAME
from pegel.streaming.statistics.measured import Measured, rate

TRUNCATED = "length"
"""The finish reason of an answer that was cut at the limit of tokens."""

WITHHELD = "content_filter"
"""The finish reason of an answer that a filter held back."""

FINISH_SOURCE = "features.finish_reason"
"""Where an event says how its answer ended."""
FINISHED = ("stop", "tool_calls", "function_call")
"""The finish reasons of answers that ended by themselves."""

SEVERITIES = ("safe", "low", "medium", "detected", "high")
"""What a content filter says of a category, in ascending order; those that know no severity say ``detected``."""

UNKNOWN = "unknown"
"""A filter that did not run, or an answer without its findings."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of names.

    Attributes:
        missing: the share of all events that say nothing.
        shares: name -> its share of the events that do, with Wilson's interval.
    """

    missing: Measured
    shares: Mapping[str, Measured]


def shares(counts: Mapping[str, int]) -> Shares:
    """The share of each name, 0 to 1.

    Weakness: with many names one of them moves by chance; the drift of the whole column is judged at its own n.

    Args:
        counts: name -> events; :data:`~pegel.schemas.grids.MISSING_NAME` and :data:`UNKNOWN` are those that say
            nothing.

    Example:
        >>> found = shares({"stop": 3, "length": 1, "__missing__": 4})
        >>> found.shares["length"].value, found.missing.value
        (0.25, 0.5)
    """
    silent = counts.get(MISSING_NAME, 0) + counts.get(UNKNOWN, 0)
    told = {name: n for name, n in sorted(counts.items()) if name not in (MISSING_NAME, UNKNOWN)}
    n = sum(told.values())
    return Shares(rate(silent, n + silent), {name: rate(count, n) for name, count in told.items()})


def share_of(counts: Mapping[str, int], name: str) -> Measured:
    """The share of one name among the events that say something; 0 if it never came.

    Example:
        >>> share_of({"stop": 3, "content_filter": 1}, TRUNCATED).value
        0.0
    """
    return shares({name: 0, **counts}).shares[name]


def unfinished(counts: Mapping[str, int]) -> tuple[int, int]:
    """How many answers did not end by themselves, of those that say how they ended.

    All other names count, known or new: a grid counts a name that its baseline never saw as ``__other__``.

    Args:
        counts: finish reason -> answers.

    Example:
        >>> unfinished({"stop": 90, "length": 4, "refusal": 3, "__other__": 2, "unknown": 5, "__missing__": 7})
        (9, 99)
    """
    told = {name: n for name, n in counts.items() if name not in (MISSING_NAME, UNKNOWN)}
    n = sum(told.values())
    return n - sum(told.get(name, 0) for name in FINISHED), n


def share_at_least(counts: Mapping[str, int], level: str, order: Sequence[str] = SEVERITIES) -> Measured:
    """The share of the events whose level is this one or a worse one, 0 to 1.

    Args:
        counts: level -> events; those that are missing or unknown are left out.
        level: one of the order.
        order: from harmless to worst.

    Raises:
        ContractError: if a level is not in the order: a name that is new must not pass for harmless.

    Example:
        >>> share_at_least({"safe": 96, "low": 2, "medium": 1, "high": 1, "unknown": 50}, "medium").value
        0.02
    """
    told = {name: n for name, n in counts.items() if n and name not in (MISSING_NAME, UNKNOWN)}
    strange = sorted({level, *told} - set(order))
    if strange:
        msg = f"{strange[0]!r} is no level of {list(order)}; give the order that these events have"
        raise ContractError(msg)
    worse = set(order[order.index(level) :])
    return rate(sum(n for name, n in told.items() if name in worse), sum(told.values()))
