"""The usual rules on the same kinds of streams: in how many blocks of seven columns anything is flagged without drift.

Each column is drawn on a hundred equally likely cells of its law, so that the distances are those of the values to
about a hundredth. The rules are the defaults that monitors ship: a distance of 0.1 or more, three standard deviations
above the mean distance of the reference's own chunks, or a p-value below 0.05.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from equipment.simulated_blocks import LAWS, SHARES, Case
from scipy.special import chdtrc, kolmogorov

Floats = npt.NDArray[np.float64]

BLOCKS = 450
CELLS = 100
_RANGE = np.linspace(-8, 20, 28_001)
_LEAST_SHARE = 1e-4
"""What empty cells count as, as the peers do it."""


def flagged_blocks(cell: str, case: Case, count: int) -> dict[str, Any]:
    """How many blocks of 10,000 each rule flags."""
    flags: dict[str, Any] = {}
    for i in range(count):
        rng = np.random.default_rng([9, i])
        by_rule: dict[str, npt.NDArray[np.bool_]] = {}
        for name in (*LAWS, *SHARES):
            for rule, found in _column(rng, name, case).items():
                by_rule[rule] = by_rule.get(rule, np.zeros(BLOCKS, dtype=bool)) | found
        for rule, found in by_rule.items():
            flags[rule] = flags.get(rule, 0) + int(found.sum())
    return {"cell": cell, "blocks": BLOCKS * count} | {
        rule: round(10_000 * n / (BLOCKS * count), 1) for rule, n in flags.items()
    }


def _column(rng: np.random.Generator, name: str, case: Case) -> dict[str, npt.NDArray[np.bool_]]:
    m = case.m or case.n * case.learned
    wander = case.wander(rng, case.learned + BLOCKS)
    if name in SHARES:
        shares = np.tile(SHARES[name], (len(wander), 1))
        points = wander / np.sqrt(1 / shares[0, 0] + 1 / shares[0, 1])
        shares[:, 0] += points
        shares[:, 1] -= points
        positions = None
    else:
        below = LAWS[name](_RANGE)
        positions = np.interp(np.arange(1, CELLS) / CELLS, below, _RANGE)
        inner = LAWS[name](positions[None, :] - wander[:, None])
        ends = np.zeros((len(wander), 1)), np.ones((len(wander), 1))
        shares = np.diff(np.concatenate([ends[0], inner, ends[1]], axis=1), axis=1)
    drawn = rng.multinomial(case.n, shares)
    chunks, blocks = drawn[: case.learned], drawn[case.learned :]
    reference = chunks.sum(axis=0) if not case.m else rng.multinomial(m, shares[0])
    # A reference of m events has so many chunks to learn a threshold from.
    return _rules(blocks, reference, chunks[: max(2, m // case.n)], positions)


def _rules(
    blocks: npt.NDArray[np.int64],
    reference: npt.NDArray[np.int64],
    chunks: npt.NDArray[np.int64],
    positions: Floats | None,
) -> dict[str, npt.NDArray[np.bool_]]:
    n, m = int(blocks[0].sum()), int(reference.sum())
    distances = _jensen_shannon(blocks, reference, positions)
    own = _jensen_shannon(chunks, reference, positions)
    found = {
        "PSI >= 0.1": _psi(blocks, reference, positions) >= 0.1,
        "JS >= 0.1": distances >= 0.1,
        "JS > mean + 3 sd": distances > own.mean() + 3 * own.std(),
    }
    if positions is None:
        pooled = (blocks + reference) / (n + m)
        change = blocks / n - reference / m
        squared = np.sum(np.divide(change**2, pooled, out=np.zeros(change.shape), where=pooled > 0), axis=1)
        return found | {"KS or chi2 p < 0.05": chdtrc(blocks.shape[1] - 1, squared / (1 / n + 1 / m)) < 0.05}
    gaps = np.abs(np.cumsum(blocks / n - reference / m, axis=1))[:, :-1]
    return found | {
        "KS or chi2 p < 0.05": kolmogorov(np.sqrt(n * m / (n + m)) * gaps.max(axis=1)) < 0.05,
        "W1/sd >= 0.1": (gaps[:, :-1] + gaps[:, 1:]) / 2 @ np.diff(positions) >= 0.1,
    }


def _joined(counts: npt.NDArray[np.int64], cells: int, positions: Floats | None) -> Floats:
    # Numbers in so many equally likely bins; categories as they are. As shares.
    if positions is not None:
        counts = counts.reshape(*counts.shape[:-1], cells, -1).sum(axis=-1)
    found: Floats = counts / counts.sum(axis=-1, keepdims=True)
    return found


def _psi(blocks: npt.NDArray[np.int64], reference: npt.NDArray[np.int64], positions: Floats | None) -> Floats:
    p, q = (np.maximum(_joined(counts, 10, positions), _LEAST_SHARE) for counts in (blocks, reference))
    found: Floats = np.sum((p - q) * np.log(p / q), axis=1)
    return found


def _jensen_shannon(
    blocks: npt.NDArray[np.int64], reference: npt.NDArray[np.int64], positions: Floats | None
) -> Floats:
    p, q = (_joined(counts, 20, positions) for counts in (blocks, reference))
    middle = (p + q) / 2

    def divergence(one: Floats) -> Floats:
        ratio = np.divide(one, middle, out=np.ones(middle.shape), where=(one > 0) & (middle > 0))
        found: Floats = np.sum(one * np.log2(ratio), axis=1)
        return found

    distance: Floats = np.sqrt(
        np.maximum(
            0.0, (divergence(np.broadcast_to(p, middle.shape)) + divergence(np.broadcast_to(q, middle.shape))) / 2
        )
    )
    return distance
