"""Columns come out of every kind of file as they went in, and what cannot be read is refused in one sentence."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from pegel.errors import OutsideError, SettingsError
from pegel.tables.column_source import column_of, open_columns

ROWS = pa.table({"x": [1.5, None, 3.0], "name": ["a", "b", None], "ok": [True, False, True], 'a.b "c"': [1, 2, 3]})


def _csv(path: Path) -> str:
    path.write_text('x,name,ok,"a.b ""c"""\n1.5,a,true,1\n,b,false,2\n3.0,,true,3\n', encoding="utf-8")
    return str(path)


def _json(path: Path) -> str:
    path.write_text("\n".join(json.dumps(row) for row in ROWS.to_pylist()), encoding="utf-8")
    return str(path)


def _parquet(path: Path) -> str:
    pq.write_table(ROWS, path)
    return str(path)


def _delta(path: Path) -> str:
    write_deltalake(str(path), ROWS)
    return str(path)


@pytest.mark.parametrize(
    ("make", "name"), [(_csv, "r.csv"), (_json, "r.jsonl"), (_parquet, "r.parquet"), (_delta, "table")]
)
def test_columns_come_out_as_they_went_in(make, name: str, tmp_path: Path) -> None:
    source = open_columns(make(tmp_path / name))
    assert source.rows == 3
    assert sorted(source.schema.names) == sorted(ROWS.schema.names)
    for column in ROWS.schema.names:
        assert column_of(source, column).to_pylist() == ROWS.column(column).to_pylist()


def test_packed_and_tab_separated_files_are_read(tmp_path: Path) -> None:
    packed = tmp_path / "r.csv.gz"
    packed.write_bytes(gzip.compress(Path(_csv(tmp_path / "r.csv")).read_bytes()))
    assert column_of(open_columns(str(packed)), "x").to_pylist() == [1.5, None, 3.0]
    packed = tmp_path / "r.jsonl.gz"
    packed.write_bytes(gzip.compress(Path(_json(tmp_path / "r.jsonl")).read_bytes()))
    assert column_of(open_columns(str(packed)), "x").to_pylist() == [1.5, None, 3.0]
    tabs = tmp_path / "r.tsv"
    tabs.write_text("x\ty\n1\t2,5\n", encoding="utf-8")
    assert column_of(open_columns(str(tabs)), "y").to_pylist() == ["2,5"]


def test_deleted_rows_of_a_delta_table_do_not_come_out(tmp_path: Path) -> None:
    place = _delta(tmp_path / "table")
    DeltaTable(place).delete("x = 3.0")
    assert sorted(column_of(open_columns(place), 'a.b "c"').to_pylist()) == [1, 2]


def test_times_of_a_csv_are_times(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("at\n2026-01-01T00:00:00Z\n", encoding="utf-8")
    assert column_of(open_columns(str(path)), "at").to_pylist() == [datetime(2026, 1, 1, tzinfo=UTC)]


@pytest.mark.parametrize("name", ["r.csv", "r.jsonl", "r.json"])
def test_an_empty_text_file_has_no_column(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    source = open_columns(str(tmp_path / name))
    assert (source.rows, source.schema.names) == (0, [])


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("r.parquet", b"x,y\n1,2\n", "could not be read as parquet"),
        ("r.parquet", b"", "could not be read as parquet"),
        ("r.jsonl", b"{broken\n", "could not be read as json"),
        ("r.jsonl", b'{"x": 1}\n{"x": "a"}\n', "could not be read as json"),
        ("r.csv", b"x,y\n1\n", "could not be read as csv"),
        ("r.csv", b"x,x\n1,2\n", "has the column 'x' twice"),
        ("r.xlsx", b"PK", "has an unknown kind"),
        ("rows", b"", "has an unknown kind"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SettingsError, match=says) as refused:
        open_columns(str(tmp_path / name))
    assert str(tmp_path / name) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        open_columns(str(tmp_path / "no.parquet"))
    with pytest.raises(SettingsError, match="folder without _delta_log"):
        open_columns(str(tmp_path))
    (tmp_path / "_delta_log").mkdir()
    with pytest.raises(OutsideError, match="could not be read"):
        open_columns(str(tmp_path))
    source = open_columns(_csv(tmp_path / "r.csv"))
    with pytest.raises(SettingsError, match="did you mean 'name'"):
        column_of(source, "nam")


def test_a_parquet_file_with_broken_pages_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "r.parquet"
    pq.write_table(pa.table({"x": list(range(10_000))}), place, compression="snappy", use_dictionary=False)
    content = bytearray(place.read_bytes())
    content[4:2000] = b"\xff" * 1996
    place.write_bytes(bytes(content))
    with pytest.raises(SettingsError, match="the column 'x' of"):
        column_of(open_columns(str(place)), "x")
