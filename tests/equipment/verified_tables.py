"""Tables under ``pegel verify`` in tests: a copy that a test may change, its verification, and what that found."""

import shutil
from pathlib import Path
from typing import TypeVar

from equipment.recomputed_tables import SETTINGS

from pegel.streaming.verify.verification import Report, Verification
from pegel.tables.delta import DeltaTables
from pegel.tables.erased import erased_counts

T = TypeVar("T", bound=DeltaTables)


def copy_of(tables: T, folder: Path) -> T:
    """The same tables in this folder, which is made."""
    shutil.copytree(Path(tables.uri("batches")).parent, folder)
    return type(tables)(str(folder))


def verify(tables: DeltaTables, slice_events: int = 1000) -> Report:
    """Verify tables that recomputed events were written to, in slices of so many events."""
    erased = erased_counts(tables, SETTINGS.source.feedback_hub)
    return Verification(tables, SETTINGS, erased, slice_events).run()


def broken(report: Report) -> set[str]:
    """The names of the laws that do not hold."""
    return {law.name for law in report.laws if law.broken}
