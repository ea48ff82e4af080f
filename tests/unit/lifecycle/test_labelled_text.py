"""Files of labelled texts: the columns that are asked for become segments, and a row that is wrong is named."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pegel.errors import SettingsError
from pegel.lifecycle.labelled_text import LabelledText, read_labelled_texts, write_labelled_texts

ROWS: list[dict[str, Any]] = [
    {"text": "play", "label": "music", "channel": "web", "age": "30"},
    {"text": "wake me", "label": "alarm", "channel": None, "age": "40"},
]


def json_lines(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def parquet(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("write", [json_lines, parquet])
def test_only_the_columns_that_are_asked_for_become_segments(tmp_path: Path, write: Any) -> None:
    path = write(tmp_path, ROWS)
    assert [row.segments for row in read_labelled_texts(path)] == [{}, {}]
    found = read_labelled_texts(path, ["channel", "plan"])
    assert found == [LabelledText("play", "music", {"channel": "web"}), LabelledText("wake me", "alarm")]


@pytest.mark.parametrize("write", [json_lines, parquet])
def test_a_group_that_is_no_text_is_refused_with_its_row(tmp_path: Path, write: Any) -> None:
    path = write(tmp_path, [ROWS[0] | {"age": None}, ROWS[1] | {"age": 40}])
    with pytest.raises(SettingsError, match=r"row 2 of .* has 'age', which is no string"):
        read_labelled_texts(path, ["age"])


def test_rows_that_are_kept_are_read_as_they_were_without_their_segments(tmp_path: Path) -> None:
    path = tmp_path / "kept.parquet"
    write_labelled_texts(path, read_labelled_texts(json_lines(tmp_path, ROWS), ["channel"]))
    assert read_labelled_texts(path, ["channel"]) == [LabelledText("play", "music"), LabelledText("wake me", "alarm")]
