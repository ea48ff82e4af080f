"""Files of decisions: CSV and Parquet give the same rows, and what is wrong is named."""

import csv
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pegel.errors import SettingsError
from pegel.lifecycle.fairness.rows_file import Columns, read_rows

ROWS: list[dict[str, Any]] = [
    {"label": 1, "score": 0.9, "sex": "f", "age": 30, "city": "Ulm"},
    {"label": 0, "score": 0.5, "sex": "NA", "age": None, "city": "Bonn"},
    {"label": 0, "score": 0.2, "sex": None, "age": 50, "city": None},
    {"label": None, "score": 0.2, "sex": "m", "age": 50, "city": None},
    {"label": 1, "score": None, "sex": "m", "age": 50, "city": None},
]
COLUMNS = Columns("label", ("sex",), score="score", positive="1", features=("age", "city"))


def write(folder: Path, kind: str, rows: list[dict[str, Any]] = ROWS) -> Path:
    path = folder / f"rows.{kind}"
    if kind == "parquet":
        pd.DataFrame(rows).to_parquet(path)
        return path
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_rows_without_label_or_decision_are_left_out_and_counted_and_missing_groups_kept(
    tmp_path: Path, kind: str
) -> None:
    rows = read_rows(write(tmp_path, kind), COLUMNS)
    assert rows.labels == ["1", "not 1", "not 1"]
    assert rows.outputs == ["1", "1", "not 1"]
    assert rows.groups == {"sex": ["f", "NA", None]}
    assert rows.features == {"age": [30.0, None, 50.0], "city": ["Ulm", "Bonn", None]}
    assert rows.left_out == 2
    assert rows.scores is not None
    assert rows.scores.tolist() == [0.9, 0.5, 0.2]


def test_predictions_are_taken_as_they_are(tmp_path: Path) -> None:
    rows = [{"label": "spam", "said": "ham", "sex": "f"}, {"label": "ham", "said": "ham", "sex": "m"}]
    found = read_rows(write(tmp_path, "csv", rows), Columns("label", ("sex",), prediction="said"))
    assert (found.labels, found.outputs, found.scores) == (["spam", "ham"], ["ham", "ham"], None)


def test_column_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no column 'sexx'; did you mean 'sex'"):
        read_rows(write(tmp_path, "csv"), Columns("label", ("sexx",), score="score", positive="1"))


def test_score_that_is_no_number_is_named_with_its_row(tmp_path: Path) -> None:
    rows = [{"label": 1, "score": 1, "sex": "f"}, {"label": 1, "score": "high", "sex": "f"}]
    with pytest.raises(SettingsError, match=r"row 2 of .*rows\.csv has no number in 'score'"):
        read_rows(write(tmp_path, "csv", rows), Columns("label", ("sex",), score="score", positive="1"))


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00", b'a,b\n"1'])
def test_file_that_cannot_be_read_is_refused_in_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "rows.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        read_rows(path, Columns("a", ("b",), prediction="a"))
    assert "\n" not in str(refused.value)
    (tmp_path / "rows.parquet").write_bytes(content or b"no parquet")
    with pytest.raises(SettingsError, match="cannot read"):
        read_rows(tmp_path / "rows.parquet", Columns("a", ("b",), prediction="a"))


def test_file_without_a_usable_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="none of the 1 rows"):
        read_rows(write(tmp_path, "csv", ROWS[3:4]), Columns("label", ("sex",), score="score", positive="1"))
