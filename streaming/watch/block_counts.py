"""What of a row of ``blocks`` follows from counts alone, so that a recount can be compared or stand in it. Pure."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pegel.schemas.partials import LIVE, Partial
from pegel.streaming.watch.blocks import Block, OpenBlock, key_of
from pegel.streaming.watch.reference import Comparison
from pegel.streaming.watch.state import micros

Row = dict[str, Any]


def block_of(row: Mapping[str, Any], partials: Iterable[Partial], comparison: Comparison | None) -> Block | None:
    """The block of a row once more, from partials.

    Args:
        row: of ``blocks``.
        partials: of any key, kind and micro-batch; those that are not in the block are passed over.
        comparison: what the row says it was compared with.

    Returns:
        None if none of them is in it.
    """
    key = row["model"], row["version"], row["segment"]
    mine = [
        p
        for p in partials
        if p.kind == LIVE and key_of(p) == key and row["first_batch_id"] <= p.batch_id <= row["last_batch_id"]
    ]
    times = [time for p in mine for time in (p.first_enqueued, p.last_enqueued) if time is not None]
    if not times:
        return None
    grown = OpenBlock(row["first_batch_id"], min(times), max(times), max(times))
    for partial in mine:
        grown.add(partial)
    return grown.close(key, row["block_no"], row["last_batch_id"], comparison)


def counts_of(block: Block) -> dict[str, Any]:
    """What is counted in a block, by names; each value is a whole number or a list of them."""
    return _flat(
        block.n,
        {name: counts.tolist() for name, counts in block.bins.items()},
        {name: list(counted) for name, counted in block.rates.items()},
        [[micros(start), seconds] for start, seconds in block.windows],
    )


def counts_in(row: Mapping[str, Any]) -> dict[str, Any]:
    """The same as a row of ``blocks`` says it."""
    state = json.loads(row["state"])
    return _flat(row["n"], state["bins"], state.get("rates", {}), state["windows"])


def with_counts(row: Mapping[str, Any], block: Block) -> Row:
    """The row with the counts of this block instead of its own; all else stays."""
    state = json.loads(row["state"])
    state["bins"] = {name: counts.tolist() for name, counts in block.bins.items()}
    state["windows"] = [[micros(start), seconds] for start, seconds in block.windows]
    state["rates"] = {name: list(counted) for name, counted in sorted(block.rates.items())}
    return {**row, "n": block.n, "state": json.dumps(state, separators=(",", ":"))}


def _flat(n: int, bins: Mapping[str, Any], rates: Mapping[str, Any], windows: Any) -> dict[str, Any]:
    named = {f"bins {name}": counts for name, counts in bins.items()}
    return {"n": n, "windows": windows, **named, **{f"rate {name}": counted for name, counted in rates.items()}}
