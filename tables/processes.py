"""Which process is meant, beyond its number, and whether it is still there. Edge: reads Linux's /proc.

A number alone says little: it is given again, and a container has numbers of its own. So the name holds the machine's
boot, the namespace that the number is of, and when the process began.
"""

import os
from pathlib import Path

_PROC = Path("/proc")
_GONE = frozenset("ZX")
"""States of a process that has ended and whose parent has not looked yet."""


def name_of_this() -> str:
    """The name of this process, for :func:`is_there`; empty where the system does not tell."""
    try:
        return f"{_place()} {os.getpid()} {_began(os.getpid())}"
    except OSError:
        return ""


def is_there(name: str) -> bool | None:
    """Whether the process runs; None if it is of another machine or container, or has no name."""
    try:
        place, number, began = name.rsplit(" ", 2)
        if place != _place():
            return None
    except (OSError, ValueError):
        return None
    try:
        return _began(int(number)) == began
    except OSError:
        return False


def _place() -> str:
    boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"


def _began(number: int) -> str:
    # The second field is the program's name, in brackets, and may hold anything; the state follows it.
    state, *rest = (_PROC / str(number) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    if state in _GONE:
        msg = f"the process {number} has ended"
        raise ProcessLookupError(msg)
    return rest[18]
