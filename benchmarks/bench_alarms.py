"""``python -m benchmarks.bench_alarms [PART …] [--cell NAME …] [--streams N]``: what alarms are worth, as JSON lines.

``null``: false rings of streams without drift, judged by the stream's own rule, seven columns sharing one budget of a
false ring in 10,000 blocks; ``peers``: how often usual rules flag the same kinds of streams; ``delay``: blocks from a
shift to the ring; ``rates``: the same for a rate. docs/alarms.md says what is simulated and holds the results.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import chdtri

# The simulation is shared with the tests.
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from equipment.simulated_blocks import COLUMNS, Case, SimulatedColumn, autoregressive, daily, streams

from benchmarks.bench_alarms_peers import flagged_blocks
from benchmarks.bench_alarms_rates import rate_delays
from pegel.streaming.statistics.alarm import level

BUDGET = 10_000
"""Blocks for each false ring of the seven columns together."""
BLOCKS = 820
QUIET = 64
PATIENCE = 120

CELLS = {
    **{f"independent n={n} m={m}": Case(n, m) for m in (10_000, 100_000) for n in (100, 200, 1000, 10_000)},
    **{f"AR(1) 0.9 n={n} B=1000": Case(n, 0, wander=autoregressive(0.9)) for n in (200, 1000, 10_000)},
    "AR(2) 1.5 -0.75 n=1000 B=1000": Case(1000, 0, wander=autoregressive(1.5, -0.75)),
    "AR(2) 1.8 -0.85 n=1000 B=1000": Case(1000, 0, wander=autoregressive(1.8, -0.85)),
    "daily 0.25 sd n=1000, 4 cycles of 288": Case(1000, 0, 4 * 288, daily(288)),
}
DELAYS = {
    **{f"independent n={n} m={m}": Case(n, m) for n, m in ((1000, 100_000), (1000, 1_000_000), (200, 100_000))},
    **{name: CELLS[name] for name in CELLS if "B=1000" in name and "n=1000" in name},
}
SHIFTS = (("amount", 0.1), ("amount", 0.25), ("channel", 0.05))


def null(cell: str, case: Case, count: int) -> dict[str, Any]:
    """False rings, and the upper 95 % bound of their number by Poisson's law."""
    by_column: Counter[str] = Counter()
    for columns in streams(6, case, BLOCKS, count):
        for name, column in zip(COLUMNS, columns, strict=True):
            by_column[name] += len(column.rings(level(BUDGET, len(COLUMNS))))
    rings, blocks = by_column.total(), BLOCKS * count
    upper = float(chdtri(2 * (rings + 1), 0.05)) / 2
    return {
        "cell": cell,
        "blocks": blocks,
        "rings": rings,
        "upper_95": round(upper, 1),
        "budget": blocks / BUDGET,
        "kept": upper <= blocks / BUDGET,
        "by_column": {name: n for name, n in by_column.items() if n},
    }


def delay(cell: str, case: Case, count: int) -> Iterator[dict[str, Any]]:
    """Blocks from the shift of one column to its ring, that of the shift included."""
    for name, shift in SHIFTS:
        found, early = [], 0
        for i in range(count):
            rng = np.random.default_rng([7, i])
            column = SimulatedColumn(rng, name, case, QUIET + PATIENCE, shift=shift, since=QUIET)
            rings = column.rings(level(BUDGET, len(COLUMNS)))
            early += sum(ring < QUIET for ring in rings)
            found.append(next((ring - QUIET + 1 for ring in rings if ring >= QUIET), PATIENCE + 1))
        missed = sum(one > PATIENCE for one in found)
        yield {
            "cell": cell,
            "column": name,
            "shift": shift,
            "median": float(np.median(found)),
            "p90": float(np.quantile(found, 0.9)),
            "not_within_120": missed,
            "before": early,
            "streams": count,
        }


def main() -> int:
    parts = ("null", "peers", "delay", "rates")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_alarms", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*parts, []], default=list(parts), metavar="PART")
    parser.add_argument("--cell", action="append", help="only the cells whose name has this in it")
    parser.add_argument("--streams", type=int, default=500, help="streams of 820 blocks a cell (default: %(default)s)")
    options = parser.parse_args()
    for part in options.parts:
        for result in _results(part, options.streams, options.cell or [""]):
            print(json.dumps({"part": part, **result}), flush=True)
    return 0


def _results(part: str, count: int, wanted: list[str]) -> Iterator[dict[str, Any]]:
    def chosen(cells: dict[str, Case]) -> Iterator[tuple[str, Case]]:
        return ((name, case) for name, case in cells.items() if any(text in name for text in wanted))

    begun = time.process_time()
    if part == "rates":
        yield from rate_delays(count)
    for cell, case in chosen(CELLS if part in {"null", "peers"} else DELAYS if part == "delay" else {}):
        if part == "delay":
            yield from delay(cell, case, min(count, 400))
        else:
            yield null(cell, case, count) if part == "null" else flagged_blocks(cell, case, max(1, count // 20))
        print(f"{part}: {cell} after {time.process_time() - begun:.0f} s of this processor", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
