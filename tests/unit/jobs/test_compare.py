"""``pegel compare`` as its users call it: exact output, exit codes, chunks, and one sentence for each mistake."""

import csv
import io
import json
import math
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from pegel.errors import SettingsError
from pegel.jobs.compare import main

FIELDS = ["chunk", "chunk_start", "chunk_end", "column", "metric", "value", "n", "p_value", "effect", "verdict"]
FIELDS += ["calibrated"]
METRICS = ["psi", "jensen_shannon", "hellinger", "total_variation", "l_infinity", "ks", "wasserstein"]
METRICS += ["wasserstein_normalized", "chi2"]
HOUR = 3_600_000_000
EVIL = "<script>alert('x')</script>\x1b[2J\"&[bold]"


def _table(rows: int, seed: int, shift: float = 0.0, start: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    times = np.arange(rows) * (HOUR // 100) + start
    return pa.table(
        {
            "x": rng.normal(shift, 1, rows),
            "y": rng.normal(size=rows),
            "kind": rng.choice(["a", "b", "c"], rows),
            "ok": rng.random(rows) < 0.5,
            "at": pa.array(times, pa.timestamp("us", "UTC")),
        }
    )


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    baseline, current = tmp_path / "baseline.parquet", tmp_path / "current.parquet"
    pq.write_table(_table(12_000, 1), baseline)
    pq.write_table(_table(1000, 12, shift=0.3), current)
    return str(baseline), str(current)


def _said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(list(arguments))
    return code, capsys.readouterr().out


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict]:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    rows = json.loads(_said(capsys, *arguments, "--output", "json")[1], parse_constant=refuse)
    assert all(list(row) == FIELDS for row in rows)
    return rows


def test_json_has_every_metric_of_every_column(files, capsys) -> None:
    rows = _json(capsys, *files)
    assert [row["metric"] for row in rows if row["column"] == "x"] == METRICS
    counted = [metric for metric in METRICS if metric not in ("ks", "wasserstein", "wasserstein_normalized")]
    assert [row["metric"] for row in rows if row["column"] == "kind"] == counted
    assert {row["column"] for row in rows} == {"x", "y", "kind", "ok"}
    assert {(row["chunk"], row["chunk_start"], row["chunk_end"], row["n"]) for row in rows} == {(0, 0, 1000, 1000)}
    assert {row["verdict"] for row in rows if row["column"] == "x"} == {"drifted"}
    assert {row["verdict"] for row in rows if row["column"] != "x"} == {"stable"}


def test_csv_says_what_json_says(files, capsys) -> None:
    expected = _json(capsys, *files)
    rows = list(csv.DictReader(io.StringIO(_said(capsys, *files, "--output", "csv")[1])))
    assert list(rows[0]) == FIELDS
    assert [{name: "" if value is None else str(value) for name, value in row.items()} for row in expected] == rows


def test_exit_code_is_1_only_if_asked_for_and_drifted(files, capsys) -> None:
    assert _said(capsys, *files)[0] == 0
    assert _said(capsys, *files, "--fail-on-drift")[0] == 1
    assert _said(capsys, *files, "--fail-on-drift", "--columns", "y", "kind", "ok")[0] == 0
    assert _said(capsys, *files, "--fail-on-drift", "--minimum-effect", "0.6")[0] == 0


def test_table_names_what_drifted(files, capsys) -> None:
    shown = _said(capsys, *files)[1]
    assert "1 of 4 columns drifted: x." in shown
    assert "Not calibrated" in shown


def test_chunks_by_size_are_judged_against_the_spread_of_the_baseline(files, capsys) -> None:
    rows = _json(capsys, *files, "--chunk-size", "100", "--metrics", "ks", "psi", "--columns", "x", "y")
    assert [row["chunk_start"] for row in rows if row["column"] == "x" and row["metric"] == "ks"] == list(
        range(0, 1000, 100)
    )
    assert {row["n"] for row in rows} == {100}
    assert all(row["calibrated"] for row in rows)
    assert not any(row["calibrated"] for row in _json(capsys, *files, "--chunk-size", "500"))


def test_chunks_by_time_lie_on_the_clock_and_may_be_empty(tmp_path: Path, capsys) -> None:
    first, second = _table(250, 3), _table(150, 4, shift=3.0, start=4 * HOUR)
    pq.write_table(_table(5000, 1), tmp_path / "b.parquet")
    shuffled = pa.concat_tables([second, first])
    pq.write_table(shuffled.take(np.random.default_rng(0).permutation(400)), tmp_path / "c.parquet")
    places = [str(tmp_path / "b.parquet"), str(tmp_path / "c.parquet")]
    rows = _json(capsys, *places, "--chunk-by", "at:1h", "--columns", "x", "--metrics", "ks")
    assert [row["n"] for row in rows] == [100, 100, 50, 0, 100, 50]
    assert [row["verdict"] for row in rows] == ["stable"] * 3 + ["too_few"] + ["drifted"] * 2
    assert rows[3]["value"] is None
    assert (rows[4]["chunk_start"], rows[4]["chunk_end"]) == ("1970-01-01T04:00:00Z", "1970-01-01T05:00:00Z")
    assert _json(capsys, *places, "--chunk-by", "at", "--metrics", "ks")[0]["n"] == 400
    by_size = _json(capsys, *places, "--chunk-size", "100", "--time-column", "at", "--columns", "x", "--metrics", "ks")
    assert [row["verdict"] for row in by_size][:2] == ["stable"] * 2
    assert by_size[0]["chunk_start"] == "1970-01-01T00:00:00Z"
    assert by_size[-1]["verdict"] == "drifted"


def test_rows_without_a_time_are_left_out_and_said(tmp_path: Path, capsys, caplog) -> None:
    table = pa.table({"x": list(range(200)), "at": [None] * 100 + ["2026-01-01T00:00:00Z"] * 100})
    pq.write_table(table, tmp_path / "c.parquet")
    place = str(tmp_path / "c.parquet")
    rows = _json(capsys, place, place, "--chunk-by", "at:1d", "--columns", "x", "--metrics", "ks")
    assert [row["n"] for row in rows] == [100]
    assert "100 rows of" in caplog.text


def test_a_delta_table_and_a_csv_can_be_compared(tmp_path: Path, capsys) -> None:
    table = _table(2000, 5).drop_columns(["at"])
    write_deltalake(str(tmp_path / "table"), table)
    table.to_pandas().to_csv(tmp_path / "same.csv", index=False)
    rows = _json(capsys, str(tmp_path / "table"), str(tmp_path / "same.csv"))
    assert {row["column"] for row in rows} == {"x", "y", "kind", "ok"}
    assert all(row["value"] == pytest.approx(0, abs=1e-9) for row in rows)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.add(tag)
        self.links += [value for name, value in attributes if name in ("src", "href", "onclick", "onerror")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_is_one_page_in_which_names_are_text(tmp_path: Path, capsys) -> None:
    table = pa.table({EVIL: np.arange(100.0), "y": np.arange(100.0)})
    place = tmp_path / "<img src=x onerror=alert(1)>.parquet"
    pq.write_table(table, place)
    page = _Page()
    shown = _said(capsys, str(place), str(place), "--output", "html")[1]
    page.feed(shown)
    assert page.tags.isdisjoint({"script", "img", "link", "iframe", "bold"})
    assert page.links == []
    assert "<script>alert('x')</script>\\x1b[2J" in page.text
    assert "\x1b" not in shown
    assert "0 of 2 columns drifted" in page.text


def test_a_terminal_is_not_commanded_by_a_name(tmp_path: Path, capsys) -> None:
    pq.write_table(pa.table({EVIL: np.arange(100.0)}), tmp_path / "b.parquet")
    shown = _said(capsys, *[str(tmp_path / "b.parquet")] * 2)[1]
    assert "\x1b" not in shown
    assert "[bold]" in "".join(line.split("│")[1].strip() for line in shown.splitlines() if "│" in line)


@pytest.mark.parametrize(
    ("baseline", "current"),
    [
        pytest.param({"x": [1.0] * 99}, {"x": [1.0] * 99}, id="one value"),
        pytest.param({"x": pa.nulls(99)}, {"x": [1.0] * 99}, id="null type"),
        pytest.param({"x": pa.nulls(99)}, {"x": pa.nulls(99)}, id="null on both sides"),
        pytest.param({"x": pa.array([], pa.float64())}, {"x": pa.array([], pa.float64())}, id="empty"),
        pytest.param({"x": ["a"] * 99}, {"x": ["b"] * 99}, id="unseen"),
        pytest.param({"x": [math.inf, math.nan, 1e18] * 33}, {"x": [-math.inf, 1e18, None] * 33}, id="not finite"),
        pytest.param({"x": list(range(10_001))}, {"x": list(range(10_001))}, id="10,001 rows"),
        pytest.param({"x": list(range(99))}, {"x": [0.5] * 49}, id="too few"),
        pytest.param({"x": [True] * 99}, {"x": ["true"] * 99}, id="boolean and text"),
    ],
)
def test_odd_columns_give_numbers_or_null(baseline, current, tmp_path: Path, capsys) -> None:
    places = []
    for name, columns in (("b", baseline), ("c", current)):
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
        places.append(str(tmp_path / f"{name}.parquet"))
    rows = _json(capsys, *places)
    assert rows
    assert {row["verdict"] for row in rows} <= {"stable", "drifted", "too_few"}
    assert all((row["p_value"] is None) == (row["verdict"] == "too_few") for row in rows)
    for output in ("table", "csv", "html"):
        assert _said(capsys, *places, "--output", output)[1]


def test_an_empty_column_does_not_touch_the_others(tmp_path: Path, capsys) -> None:
    table = _table(1000, 6)
    pq.write_table(table, tmp_path / "full.parquet")
    emptied = table.set_column(1, "y", pa.nulls(1000, pa.float64()))
    pq.write_table(emptied, tmp_path / "emptied.parquet")
    pq.write_table(_table(5000, 7), tmp_path / "b.parquet")
    full, less = (
        [row for row in _json(capsys, str(tmp_path / "b.parquet"), str(tmp_path / name)) if row["column"] == "x"]
        for name in ("full.parquet", "emptied.parquet")
    )
    assert [row["value"] for row in full] == [row["value"] for row in less]


@pytest.mark.parametrize(
    ("baseline", "current", "arguments", "says"),
    [
        ({"x": [1]}, {"y": [1]}, [], "no column in common"),
        ({"x": [1]}, {"x": ["a"]}, [], "is a number in .* and text or boolean in"),
        ({"value": [1]}, {"value": [1]}, ["--columns", "valeu"], "did you mean 'value'"),
        ({"x": [1], "y": [1]}, {"x": [1]}, ["--columns", "y"], "there is no column 'y'"),
        ({"x": [[1]]}, {"x": [[1]]}, ["--columns", "x"], "cannot be compared"),
        ({"x": [[1]]}, {"x": [[1]]}, [], "no column in common that can be compared"),
        ({"x": ["a"]}, {"x": ["a"]}, ["--metrics", "ks"], "need numbers"),
        ({"x": [1]}, {"x": [1]}, ["--chunk-by", "at:1h"], "there is no column 'at'"),
        ({"x": [1], "y": [1]}, {"x": [1], "y": [1]}, ["--chunk-by", "x:1h"], "holds no times"),
        ({"x": [1]}, {"x": [1]}, ["--chunk-by", "x:1 hour"], "is no period"),
        ({"x": [1]}, {"x": [1]}, ["--chunk-by", "x:1h", "--time-column", "y"], "name the same"),
    ],
)
def test_a_mistake_is_one_sentence(baseline, current, arguments, says: str, tmp_path: Path) -> None:
    pq.write_table(pa.table(baseline), tmp_path / "b.parquet")
    pq.write_table(pa.table(current), tmp_path / "c.parquet")
    with pytest.raises(SettingsError, match=says) as refused:
        main([str(tmp_path / "b.parquet"), str(tmp_path / "c.parquet"), *arguments])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "arguments", [["--chunk-size", "0"], ["--metrics", "mean"], ["--minimum-effect", "nan"], ["--output", "xml"]]
)
def test_an_unknown_argument_is_refused(arguments: list[str], files) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*files, *arguments])
    assert ended.value.code == 2
