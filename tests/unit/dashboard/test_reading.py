from dataclasses import replace
from datetime import timedelta

import pytest
from equipment.watched_evening import evening

from pegel.dashboard.extracts import extracts
from pegel.dashboard.reading import RELOAD_AFTER, TableReader
from pegel.schemas.tables import TABLES
from pegel.tables.delta import DeltaTables


class CountingTables(DeltaTables):
    """Remembers every query, and can be told to fail."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.queries: list[str] = []
        self.broken = False

    def read(self, name, sql="SELECT * FROM t"):
        self.queries.append(sql)
        if self.broken:
            raise OSError("the disk is gone")
        return super().read(name, sql)


@pytest.fixture
def tables(tmp_path):
    return CountingTables(str(tmp_path))


@pytest.fixture
def rows(now):
    return evening(now, "closed", 25)


def fill(tables, rows, keep):
    for name, content in rows.items():
        tables.append(name, [row for row in content if keep(row)])


def canonical(snapshot):
    whole = {name: rows for name, rows in snapshot.rows.items() if name not in {"counts", "dead_letters"}}
    return {name: sorted(map(repr, rows)) for name, rows in whole.items()}


def counted(snapshot, name, key, numbers):
    totals: dict[tuple, list[int]] = {}
    for row in snapshot.rows[name]:
        total = totals.setdefault(tuple(row[k] for k in key), [0] * len(numbers))
        for i, number in enumerate(numbers):
            total[i] += row[number]
    return totals


def test_nothing_is_read_again_when_no_table_moves(tables, rows, settings, now):
    fill(tables, rows, lambda _row: True)
    reader = TableReader(tables, settings)
    first = reader.snapshot(now)
    tables.queries.clear()

    second = reader.snapshot(now + timedelta(seconds=3))

    assert tables.queries == []
    assert second.token == first.token


def test_reading_bit_by_bit_gives_what_reading_at_once_gives(tables, rows, settings, now):
    reader = TableReader(tables, settings)
    cuts = [10**9 + 100, 10**9 + 300, 10**9 + 10**6]
    lower = 0
    for upper in cuts:
        fill(tables, rows, lambda row, lower=lower, upper=upper: lower <= row.get("batch_id", 0) < upper)
        bit_by_bit = reader.snapshot(now)
        lower = upper

    at_once = TableReader(tables, settings).snapshot(now)

    assert canonical(bit_by_bit) == canonical(at_once)
    windows = ("model", "version", "window_start"), ("events", "errors", "labelled", "correct")
    assert counted(bit_by_bit, "counts", *windows) == counted(at_once, "counts", *windows)
    reasons = ("reason", "hub"), ("n",)
    assert counted(bit_by_bit, "dead_letters", *reasons) == counted(at_once, "dead_letters", *reasons)


def test_only_new_micro_batches_are_asked_for(tables, rows, settings, now):
    fill(tables, rows, lambda row: row.get("batch_id", 0) < 10**9 + 300)
    reader = TableReader(tables, settings)
    reader.snapshot(now)
    tables.queries.clear()

    fill(tables, {"batches": rows["batches"]}, lambda row: row["batch_id"] == 10**9 + 300)
    reader.snapshot(now)

    (query,) = tables.queries
    assert query.endswith(f"AND batch_id > {10**9 + 299}")


def test_everything_is_read_anew_after_a_while(tables, rows, settings, now):
    fill(tables, rows, lambda _row: True)
    reader = TableReader(tables, settings)
    reader.snapshot(now)
    tables.queries.clear()

    reader.snapshot(now + RELOAD_AFTER)

    made = [extract for extract in extracts(settings).values() if rows.get(extract.table)]
    assert len(tables.queries) == len(made) >= 12


def test_storage_that_fails_leaves_the_last_rows_and_says_so(tables, rows, settings, now):
    fill(tables, rows, lambda _row: True)
    reader = TableReader(tables, settings)
    good = reader.snapshot(now)
    tables.broken = True

    later = reader.snapshot(now + RELOAD_AFTER)

    assert later.rows == good.rows
    assert later.read_at == now
    assert "the disk is gone" in later.problem
    tables.broken = False
    assert reader.snapshot(now + RELOAD_AFTER).problem == ""


def test_no_table_gives_no_rows(tables, settings, now):
    snapshot = TableReader(tables, settings).snapshot(now)

    assert all(rows == [] for rows in snapshot.rows.values())
    assert set(snapshot.versions.values()) == {-1}


def test_every_query_is_bounded_in_time_and_starts_where_the_settings_say(settings, now):
    for name, extract in extracts(settings).items():
        assert f"{extract.time} >= TIMESTAMP '20" in extract.sql(now), name
    oldest = f"{now - timedelta(hours=settings.dashboard.hours):%Y-%m-%dT%H:%M:%SZ}"
    assert oldest in extracts(settings)["metrics"].sql(now)


def test_a_table_of_an_older_version_is_read_without_the_column_that_came_later(
    tables, rows, settings, now, monkeypatch
):
    block = rows["blocks"][-1] | {"last_enqueued": now, "rates": []}
    blocks = TABLES["blocks"]
    older = replace(blocks, columns=tuple(column for column in blocks.columns if column.name != "rates"))
    monkeypatch.setitem(TABLES, "blocks", older)
    tables.append("blocks", [{name: block[name] for name in older.names}])
    reader = TableReader(tables, settings)
    before = reader.snapshot(now)
    monkeypatch.setitem(TABLES, "blocks", blocks)
    tables.append("blocks", [block | {"block_no": block["block_no"] + 1, "batch_id": block["batch_id"] + 1}])
    after = reader.snapshot(now)

    assert (before.problem, after.problem) == ("", "")
    assert [row.get("rates") for row in before.rows["blocks"]] == [None]
    assert [row.get("rates") for row in after.rows["blocks"]] == [None, []]


def test_rows_outside_the_hours_are_not_read(tables, rows, settings, now):
    fill(tables, rows, lambda _row: True)
    much_later = now + timedelta(hours=settings.dashboard.hours + 1)

    snapshot = TableReader(tables, settings).snapshot(much_later)

    assert snapshot.rows["metrics"] == snapshot.rows["counts"] == []
    assert [r["batch_id"] for r in snapshot.rows["batches"]] == [max(r["batch_id"] for r in rows["batches"])]


def test_a_closed_incident_leaves_and_an_open_one_stays(tables, settings, now):
    fill(tables, evening(now, "confirmed", 25), lambda _row: True)
    days_later = now + timedelta(days=20)

    snapshot = TableReader(tables, settings).snapshot(days_later)

    assert {r["state"] for r in snapshot.rows["alerts"]} == {"opened", "confirmed"}
    assert len({r["incident_id"] for r in snapshot.rows["alerts"]}) == 1
