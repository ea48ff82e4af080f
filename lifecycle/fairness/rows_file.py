"""Labels, decisions and groups from a file. Edge: reads CSV or Parquet."""

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pegel.errors import SettingsError
from pegel.lifecycle.fairness.mitigation import Floats

Features = dict[str, list[float | None] | list[str | None]]


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of the file say what.

    Attributes:
        label: the true class.
        groups: what groups are made by, at least one.
        prediction: the class that the model said; '' if there is a score.
        score: a number, the higher the more positive; '' if there is a prediction.
        threshold: from this score on the decision is positive.
        positive: the positive label; a score needs one.
        features: more columns to learn from.
    """

    label: str
    groups: tuple[str, ...]
    prediction: str = ""
    score: str = ""
    threshold: float = 0.5
    positive: str = ""
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DecidedRows:
    """The rows that have a label and a decision.

    Attributes:
        labels: as texts; where there is a score, the positive label or :func:`rest` of it.
        outputs: the same for what the model said.
        scores: shape ``(n_rows,)``; None without a score.
        groups: attribute -> value of each row, None where it is missing.
        features: name -> value of each row.
        left_out: how many rows of the file lack a label or a decision.
    """

    labels: list[str]
    outputs: list[str]
    scores: Floats | None
    groups: dict[str, list[str | None]]
    features: Features
    left_out: int


def rest(positive: str) -> str:
    """The name of all labels but the positive one."""
    return f"not {positive}"


def read_rows(path: Path, columns: Columns) -> DecidedRows:
    """Read ``*.parquet``, else CSV with a header. An empty cell is missing; classes are texts, 1.0 in Parquet is '1'.

    Raises:
        SettingsError: if the file cannot be read, lacks a column, has a score that is no number, or no row is left.
    """
    frame = _read(path)
    wanted = [columns.label, columns.prediction or columns.score, *columns.groups, *columns.features]
    for name in wanted:
        if name not in frame:
            near = difflib.get_close_matches(name, list(frame), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(map(repr, frame))}"
            msg = f"{path} has no column {name!r}; {hint}"
            raise SettingsError(msg)
    labels = [_text(value) for value in frame[columns.label]]
    scores = _numbers(list(frame[columns.score]), columns.score, path) if columns.score else None
    said = [_text(value) for value in frame[columns.prediction]] if scores is None else [
        None if score is None else _side(score >= columns.threshold, columns.positive) for score in scores
    ]  # fmt: skip
    kept = [i for i, pair in enumerate(zip(labels, said, strict=True)) if None not in pair]
    if not kept:
        msg = f"none of the {len(frame)} rows of {path} has both a label in {columns.label!r} and a decision"
        raise SettingsError(msg)
    found = [str(labels[i]) for i in kept]
    return DecidedRows(
        labels=found if scores is None else [_side(label == columns.positive, columns.positive) for label in found],
        outputs=[str(said[i]) for i in kept],
        scores=None if scores is None else np.array([scores[i] for i in kept], dtype=np.float64),
        groups={name: [_text(frame[name].iloc[i]) for i in kept] for name in columns.groups},
        features={name: _feature([frame[name].iloc[i] for i in kept]) for name in columns.features},
        left_out=len(frame) - len(kept),
    )


def _read(path: Path) -> Any:
    import pandas as pd  # type: ignore[import-untyped]

    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        # Words such as NA and None may be the names of groups: only an empty cell is missing.
        return pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        first = (str(error).strip().splitlines() or ["it is empty"])[0]
        msg = f"cannot read {path}: {first}; give CSV with a header, or Parquet"
        raise SettingsError(msg) from error


def _text(value: Any) -> str | None:
    import pandas as pd

    if pd.api.types.is_scalar(value) and pd.isna(value):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _numbers(values: Sequence[Any], name: str, path: Path) -> list[float | None]:
    found: list[float | None] = []
    for row, value in enumerate(values, start=1):
        number = _number(value)
        if number is None and _text(value) is not None:
            msg = f"row {row} of {path} has no number in {name!r}; a score is one"
            raise SettingsError(msg)
        found.append(number)
    return found


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _feature(values: Sequence[Any]) -> list[float | None] | list[str | None]:
    """Numbers if all that is there are numbers, else texts."""
    numbers = [_number(value) for value in values]
    texts = [_text(value) for value in values]
    same = all(number is not None or text is None for number, text in zip(numbers, texts, strict=True))
    return numbers if same else texts


def _side(positive: bool, label: str) -> str:
    return label if positive else rest(label)
