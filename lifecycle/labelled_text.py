"""Texts with their true class: what a model is made from. Edge: reads and writes files."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pegel.errors import SettingsError

TRAINING_FOLDER = "training"
TRAINING_FILE = "rows.parquet"
"""Where a version's run keeps the rows that it was made from."""

_SCHEMA = pa.schema([pa.field("text", pa.string(), nullable=False), pa.field("label", pa.string(), nullable=False)])


@dataclass(frozen=True, slots=True)
class LabelledText:
    """One text and its true class; ``segments``: attribute -> value, where they are known."""

    text: str
    label: str
    segments: Mapping[str, str] = field(default_factory=dict, hash=False)


def read_labelled_texts(path: Path, attributes: Sequence[str] = ()) -> list[LabelledText]:
    """Read ``*.parquet`` with the columns ``text`` and ``label``, or JSON Lines with these two fields.

    Args:
        path: the file.
        attributes: further columns that the file may have, which become the segments of its rows.

    Raises:
        SettingsError: if the file is missing, holds no rows, or a row lacks one of the two or has an attribute that is
            no string; it names the row.
    """
    try:
        if path.suffix == ".parquet":
            there = pq.read_schema(path).names
            columns = ["text", "label", *(name for name in dict.fromkeys(attributes) if name in there)]
            found = pq.read_table(path, columns=list(dict.fromkeys(columns))).to_pylist()
        else:
            lines = path.read_text(encoding="utf-8").splitlines()
            found = [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError, KeyError) as error:
        msg = f"cannot read labelled texts from {path}: {error}; give JSON Lines or Parquet with text and label"
        raise SettingsError(msg) from error
    rows = [_checked(number, row, path, attributes) for number, row in enumerate(found, start=1)]
    if not rows:
        msg = f"{path} holds no rows; a model needs texts with their labels"
        raise SettingsError(msg)
    return rows


def write_labelled_texts(path: Path, rows: Sequence[LabelledText]) -> None:
    """Write Parquet; the order of the rows is kept, their segments are not."""
    pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema=_SCHEMA), path)


def texts_of(rows: Iterable[LabelledText]) -> list[str]:
    """The texts alone, in order."""
    return [row.text for row in rows]


def _checked(number: int, row: object, path: Path, attributes: Sequence[str]) -> LabelledText:
    if isinstance(row, dict):
        text, label = row.get("text"), row.get("label")
        segments = {name: row[name] for name in attributes if row.get(name) is not None}
        for name, value in segments.items():
            if not isinstance(value, str):
                msg = f"row {number} of {path} has {name!r}, which is no string; groups are texts or left out"
                raise SettingsError(msg)
        if isinstance(text, str) and isinstance(label, str):
            return LabelledText(text, label, segments)
    msg = f"row {number} of {path} must have a text and a label, both strings; mend the row or leave it out"
    raise SettingsError(msg)
