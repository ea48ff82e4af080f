import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.conf.loading import packaged
from pegel.local.azure_monitor.kql import KqlError, compile_query
from pegel.schemas.alert_stream import COLUMNS, TABLE

TABLES = {"T": ["id", "n", "state", "action"]}


def row(id_: str, n: int | None, state: str | None = "opened", action: str = "page") -> dict[str, object]:
    return {"id": id_, "n": n, "state": state, "action": action}


def run(text: str, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return list(compile_query(text, TABLES).run(rows))


def test_where_keeps_rows_that_meet_every_condition():
    rows = [row("a", 1), row("b", 2, "confirmed"), row("c", 2), row("d", 2, action="none")]
    assert run('T | where n == 2 and state != "confirmed" and action in ("page", "retrain")', rows) == [rows[2]]


def test_where_finds_a_null_equal_and_unequal_to_nothing():
    rows = [row("a", 1, None)]
    assert run('T | where state != "x"', rows) == []
    assert run('T | where state == "x"', rows) == []
    assert run('T | where state in ("x")', rows) == []


def test_arg_max_keeps_the_whole_row_with_the_largest_value_of_each_group_and_nulls_lose():
    rows = [row("a", None, "first"), row("a", 2, "second"), row("a", 1, "third"), row("b", None)]
    assert run("T | summarize arg_max(n, *) by id", rows) == [rows[1], rows[3]]


def test_count_counts_each_group():
    rows = [row("a", 1), row("b", 1), row("a", 2)]
    assert run("T | summarize count() by id, action", rows) == [
        {"id": "a", "action": "page", "count_": 2},
        {"id": "b", "action": "page", "count_": 1},
    ]


def test_project_keeps_the_named_columns_and_comments_are_no_part_of_a_query():
    assert run("// first\nT // second | where\n| project n, id // third", [row("a", 1)]) == [{"n": 1, "id": "a"}]


@pytest.mark.parametrize(
    "text",
    [
        "T | take 5",
        "T | extend x = 1",
        "T | where n > 1",
        "T | where n == 1 or n == 2",
        "T | where tostring(n) == 1",
        "T | where n in ()",
        "T | summarize max(n) by id",
        "T | summarize arg_max(n, id) by id",
        "T | summarize count()",
        "T | where missing == 1",
        "T | project id | where n == 1",
        "T | summarize count() by id | project n",
        "U | where n == 1",
        "T | where state == 'it''s'",
        'T | where state == "a\\"b"',
        "T where n == 1",
        "T |",
        "",
        "T; drop",
        "T | where id == other",
    ],
)
def test_query_outside_the_subset_is_refused_before_it_runs(text):
    with pytest.raises(KqlError):
        compile_query(text, TABLES)


def alert_row(**values: object) -> dict[str, object]:
    return {**dict.fromkeys(COLUMNS), "model": "assistant", **values}


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.integers(1, 3)), max_size=12),
    st.sampled_from(["page", "retrain", "none"]),
    st.sampled_from([{1: "opened", 2: "confirmed", 3: "resolved"}, {1: "opened", 2: "retracted", 3: "retracted"}]),
    st.randoms(use_true_random=False),
)
def test_shipped_rules_fire_for_the_latest_row_of_each_incident_whatever_the_copies_and_order(
    steps, action, names, random
):
    rows = [
        alert_row(
            alert_id=f"{incident}{sequence}",
            incident_id=incident,
            sequence=sequence,
            state=names[sequence],
            action=action,
            TimeGenerated=time,
        )
        for incident, sequence, copies in steps
        for time in range(copies)
    ]
    random.shuffle(rows)
    latest: dict[str, int] = {}
    for incident, sequence, _ in steps:
        latest[incident] = max(sequence, latest.get(incident, 0))
    fired = {
        name: {r["incident_id"] for r in compile_query(packaged(f"azure/{name}.kql"), {TABLE: [*COLUMNS]}).run(rows)}
        for name in ("alert-page", "alert-retrain")
    }
    wanted = {incident: names[sequence] for incident, sequence in latest.items()}
    open_ = ("opened", "confirmed")
    assert fired["alert-page"] == {i for i, state in wanted.items() if state in open_ and action != "none"}
    assert fired["alert-retrain"] == {i for i, state in wanted.items() if state == "confirmed" and action == "retrain"}
