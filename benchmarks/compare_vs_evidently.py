"""``pegel compare`` against Evidently's DataDriftPreset: a million rows against a million, five numbers and two texts.

Each runs as a program of its own on the same two Parquet files, from its start to its answer, and the highest resident
memory is the kernel's own count. Evidently needs other packages than Pegel does, so it gets an environment of its own,
which is made once and kept in the cache folder of the user.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 1_000_000
ROUNDS = 3
SEED = 7
EVIDENTLY = ("evidently==0.7.23", "pandas<3", "pyarrow<26")
COLUMNS = 7
MOVED = {"latency_ms", "amount", "channel"}
"""What was moved: by 0.1 standard deviations, or five points of a share."""

_EVIDENTLY = """
import sys
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset
baseline, current = (pd.read_parquet(path) for path in sys.argv[1:3])
shape = DataDefinition(
    numerical_columns=[c for c in baseline if baseline[c].dtype != object],
    categorical_columns=[c for c in baseline if baseline[c].dtype == object],
)
sides = [Dataset.from_pandas(side, data_definition=shape) for side in (current, baseline)]
found = Report([DataDriftPreset()]).run(*sides).dict()
print(len(found["metrics"]))
"""


def run(events: int) -> dict[str, Any]:
    """Measure both.

    Args:
        events: not used: the bar is about a million rows.

    Returns:
        ``ours`` and ``other`` in seconds, the median of the rounds, and ``memory_ratio`` of the highest
        resident memory.

    Raises:
        RuntimeError: if ours does not find exactly what was moved, since a speed without the answer says nothing.
    """
    del events
    python = _environment()
    with tempfile.TemporaryDirectory(prefix="pegel-bench-") as name:
        folder = Path(name)
        files = [str(_write(folder / f"{side}.parquet", side == "current")) for side in ("baseline", "current")]
        script = folder / "drift.py"
        script.write_text(_EVIDENTLY, encoding="utf-8")
        ours = [sys.executable, "-m", "pegel.cli", "compare", *files, "--output", "json"]
        other = [str(python), str(script), *files]
        runs: dict[str, list[_Run]] = {"ours": [], "other": []}
        for _ in range(ROUNDS):
            runs["ours"].append(_measure(ours))
            _check(runs["ours"][-1].output)
            runs["other"].append(_measure(other))
    seconds, cpu = (
        {side: statistics.median(getattr(one, what) for one in found) for side, found in runs.items()}
        for what in ("seconds", "cpu_seconds")
    )
    memory = {side: max(one.megabytes for one in found) for side, found in runs.items()}
    return {
        "ours": round(seconds["ours"], 3),
        "other": round(seconds["other"], 3),
        "ratio": round(seconds["ours"] / seconds["other"], 4),
        "unit": "s",
        "rows": ROWS,
        "columns": COLUMNS,
        "rounds": ROUNDS,
        "ours_cpu_seconds": round(cpu["ours"], 3),
        "other_cpu_seconds": round(cpu["other"], 3),
        "ours_megabytes": round(memory["ours"], 1),
        "other_megabytes": round(memory["other"], 1),
        "memory_ratio": round(memory["ours"] / memory["other"], 4),
    }


@dataclass(frozen=True, slots=True)
class _Run:
    """One process: how long it took, the time on all cores, the highest resident memory, and what it printed."""

    seconds: float
    cpu_seconds: float
    megabytes: float
    output: str


def _environment() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pegel-benchmarks" / EVIDENTLY[0]
    python, done = cache / "bin" / "python", cache / ".installed"
    if not done.exists():
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(cache)], check=True)
        subprocess.run([*uv, "pip", "install", "--quiet", "--python", str(python), *EVIDENTLY], check=True)
        # The first import compiles; it is no part of a comparison.
        subprocess.run([str(python), "-c", "import evidently.presets"], check=True)
        done.touch()
    return python


def _write(path: Path, moved: bool) -> Path:
    rng = np.random.default_rng([SEED, moved])
    by = 1.0 if moved else 0.0
    tenants = 1 / np.arange(1, 21)
    table = {
        "latency_ms": rng.lognormal(5 - 0.05 * by, 0.5, ROWS),
        "amount": rng.normal(100 - 2 * by, 20, ROWS),
        "prompt_tokens": rng.poisson(300, ROWS),
        "age": rng.integers(18, 90, ROWS),
        "prediction": rng.beta(2, 5, ROWS),
        "channel": rng.choice(["web", "app", "phone", "mail"], ROWS, p=[0.5 - 0.05 * by, 0.3 + 0.05 * by, 0.15, 0.05]),
        "tenant": rng.choice([f"t{i}" for i in range(20)], ROWS, p=tenants / tenants.sum()),
    }
    pq.write_table(pa.table(table), path)
    return path


def _measure(command: list[str]) -> _Run:
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            msg = f"{command[0]} ended with {process.returncode}"
            raise RuntimeError(msg)
        output.seek(0)
        return _Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output.read())


def _check(output: str) -> None:
    drifted = {row["column"] for row in json.loads(output) if row["verdict"] == "drifted"}
    if drifted != MOVED:
        msg = f"moved were {sorted(MOVED)}, and found was {sorted(drifted)}"
        raise RuntimeError(msg)
