"""``python -m benchmarks [NAME] [--events N]``: run all benchmarks or one, and print a JSON line for each result.

A line has at least ``name``, ``ours``, ``other`` and ``ratio`` = ours / other, and says on which machine it was made.
"""

import argparse
import importlib
import json
import os
import pkgutil
import sys
from pathlib import Path

import benchmarks

# The broker and other equipment are shared with the tests.
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))


EVENTS = 30_000
"""For a benchmark that does not say its own number."""


def main() -> int:
    found = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    # Those that begin with bench_ have a make target of their own.
    names = [name for name in found if name != "__main__" and not name.startswith("bench_")]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", choices=names, help="one benchmark; all without it")
    parser.add_argument("--events", type=int, help="how many events to use, if not as many as usual")
    options = parser.parse_args()
    for name in [options.name] if options.name else names:
        machine = {"cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 2)}
        module = importlib.import_module(f"benchmarks.{name}")
        result = module.run(options.events or getattr(module, "EVENTS", EVENTS))
        print(json.dumps({"name": name, **result, **machine, "load_after": round(os.getloadavg()[0], 2)}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
