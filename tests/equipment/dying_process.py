"""A process that ends itself by SIGKILL right before or after a call: ``dying_process.py CALL WHEN NTH MODULE ARGS…``.

CALL is the dotted path of a function or method, such as ``pegel.tables.delta.DeltaTables.append``; WHEN is ``before``
or ``after``; MODULE has a ``main`` that is given ARGS. If the call is never made for the NTH time, the process ends as
``main`` says.
"""

import functools
import importlib
import os
import signal
import sys
from collections.abc import Callable
from pkgutil import resolve_name
from typing import Any


def dying(call: Callable[..., Any], when: str, nth: int) -> Callable[..., Any]:
    """The same call, which ends the process at its ``nth`` time."""
    made = 0

    @functools.wraps(call)
    def counted(*args: Any, **options: Any) -> Any:
        nonlocal made
        made += 1
        if made == nth and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        given = call(*args, **options)
        if made == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return given

    return counted


def main() -> int:
    """Run the job, and die in it."""
    path, when, nth, module, *arguments = sys.argv[1:]
    owner, _, name = path.rpartition(".")
    there = resolve_name(owner)
    setattr(there, name, dying(getattr(there, name), when, int(nth)))
    return int(importlib.import_module(module).main(arguments) or 0)


if __name__ == "__main__":
    raise SystemExit(main())
