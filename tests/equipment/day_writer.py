"""Writing a table as a long day of micro-batches does, back to back, as fast as it goes."""

import os
import time
from pathlib import Path

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from equipment.long_day import QUERY, SECONDS, LongDay

from pegel.tables.maintenance import COMMITS_BETWEEN, Maintenance


class DayWriter:
    """Writes one table: a commit for each micro-batch that has rows for it, and keeps it as the stream does.

    Args:
        day: the rows.
        root: where the table lies.
        name: the table.

    Attributes:
        appends: how many seconds each commit took.
        keeping: how many seconds it took each time to keep the table.
        failure: what ended it early.
    """

    def __init__(self, day: LongDay, root: str, name: str) -> None:
        self._day, self._name = day, name
        self._tables = Maintenance(root)
        self._tables.create(name)
        self._table = DeltaTable(self._tables.uri(name))
        commits = len({*day.cycle(name, 0)["batch_id"].to_pylist()})
        self._seconds_each = SECONDS * day.batches / commits
        self.appends: list[float] = []
        self.keeping: list[float] = []
        self.failure: BaseException | None = None

    def write(self, cycles: int) -> None:
        """Write so many cycles; what fails is for whoever waits for the thread."""
        try:
            for number in range(cycles):
                for batch_id, rows in self._day.micro_batches(self._name, number):
                    self._append(batch_id, rows)
                    if len(self.appends) % COMMITS_BETWEEN == 0:
                        self._keep()
        except BaseException as error:
            self.failure = error

    def _append(self, batch_id: int, rows: pa.Table) -> None:
        begun = time.perf_counter()
        transaction = f"{QUERY}/{self._name}", batch_id
        if self._name == "batches":
            # As the stream does it, which opens the table each time.
            self._tables.append_arrow(self._name, rows, transaction)
        else:
            properties = CommitProperties(app_transactions=[Transaction(*transaction)])
            write_deltalake(self._table, rows, mode="append", commit_properties=properties)
        self.appends.append(time.perf_counter() - begun)

    def _keep(self) -> None:
        _date_log(Path(self._tables.uri(self._name)), self._seconds_each)
        begun = time.perf_counter()
        self._tables.keep(self._name)
        self.keeping.append(time.perf_counter() - begun)
        self._table = DeltaTable(self._tables.uri(self._name))


def _date_log(folder: Path, seconds_each: float) -> None:
    """Date the entries of a log as if so many seconds had lain between two."""
    entries = sorted((folder / "_delta_log").glob("*.json"))
    now = time.time()
    for age, entry in enumerate(reversed(entries)):
        os.utime(entry, times=(now - age * seconds_each,) * 2)
