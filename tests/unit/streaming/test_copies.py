from collections.abc import Sequence

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pegel.streaming.ingest.dedupe import without_copies

TIME = pa.timestamp("us", "UTC")
keys = st.tuples(st.sampled_from(["prediction", "feedback"]), st.sampled_from("abc"), st.integers(0, 2))
events = st.lists(st.tuples(keys, st.sampled_from("01"), st.booleans()), max_size=20)


def index_of(rows: Sequence[tuple[tuple[str, str, int], str, bool]]) -> pa.Table:
    return pa.table(
        {
            "record": pa.array([record for (record, *_), _, _ in rows], pa.string()),
            "hub": pa.array([record for (record, *_), _, _ in rows], pa.string()),
            "partition": pa.array([partition for _, partition, _ in rows], pa.string()),
            "offset": pa.array(range(len(rows)), pa.int64()),
            "fit": pa.array([fit for *_, fit in rows], pa.bool_()),
            "id": pa.array([name for (_, name, _), _, _ in rows], pa.string()),
            "time": pa.array([time for (*_, time), _, _ in rows], TIME),
        }
    )


def stored_of(found: set[tuple[str, str, int]]) -> dict[str, pa.Table]:
    return {
        record: pa.table(
            {
                "id": pa.array([name for r, name, _ in found if r == record], pa.string()),
                "time": pa.array([time for r, _, time in found if r == record], TIME),
            }
        )
        for record in ("prediction", "feedback")
    }


@given(events, st.sets(keys, max_size=6))
def test_of_events_with_one_key_the_first_in_the_hub_is_new_unless_it_is_stored(
    rows: list[tuple[tuple[str, str, int], str, bool]], found: set[tuple[str, str, int]]
) -> None:
    new, copies = without_copies(index_of(rows), stored_of(found))
    seen, expected_new, expected_copies = set(found), set(), set()
    for offset in sorted(range(len(rows)), key=lambda i: (rows[i][1], i)):
        key, _, fit = rows[offset]
        if fit:
            (expected_copies if key in seen else expected_new).add(offset)
            seen.add(key)
    assert set(new["offset"].to_pylist()) == expected_new
    assert set(copies["offset"].to_pylist()) == expected_copies
    assert len(new) + len(copies) == sum(fit for *_, fit in rows)
    assert new.column_names == copies.column_names == index_of(rows).column_names
