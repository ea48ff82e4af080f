import math
import re
import uuid

from hypothesis import given
from hypothesis import strategies as st

from pegel.serving.tracing import is_sampled, trace_id_of

IDS = st.text(max_size=128)
SHARES = st.floats(0, 1)


@given(IDS, SHARES, SHARES)
def test_a_larger_share_keeps_every_trace_of_a_smaller_one(event_id: str, one: float, other: float) -> None:
    assert is_sampled(event_id, min(one, other)) <= is_sampled(event_id, max(one, other))
    assert is_sampled(event_id, 1.0)
    assert not is_sampled(event_id, 0.0)


def test_the_share_of_all_calls_is_what_was_asked_for() -> None:
    share, n = 0.1, 20_000
    found = sum(is_sampled(uuid.UUID(int=number).hex, share) for number in range(n))
    # The ids are fixed, so this holds always or never; four standard deviations say that it holds by more than luck.
    assert abs(found - share * n) < 4 * math.sqrt(share * (1 - share) * n)


@given(IDS, IDS)
def test_a_trace_is_named_by_its_call_alone(event_id: str, other: str) -> None:
    trace_id = trace_id_of("m", event_id)
    assert re.fullmatch("tr-[0-9a-f]{32}", trace_id)
    assert (trace_id == trace_id_of("m", other)) == (event_id == other)
    assert trace_id != trace_id_of("n", event_id)
