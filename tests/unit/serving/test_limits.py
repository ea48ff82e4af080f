"""A caller's limit holds in every stretch of time, whatever is asked when."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from pegel.schemas.usage_policy import CallerRule
from pegel.serving.limits import CallerLimits

ASKED = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 5)), max_size=40)


def limits_of(per_minute: int | None) -> tuple[CallerLimits, SimpleNamespace]:
    clock = SimpleNamespace(now=1000.0)
    rules = [CallerRule("shop", ("*",), ("support",), per_minute), CallerRule("till", ("*",), ("support",), 1)]
    return CallerLimits(rules, lambda: clock.now), clock


@given(ASKED, st.integers(1, 30))
def test_no_stretch_of_time_holds_more_than_a_full_bucket_and_what_flowed_in(
    asked: list[tuple[int, int]], per_minute: int
) -> None:
    limits, clock = limits_of(per_minute)
    taken: list[tuple[float, int]] = []
    for wait, texts in asked:
        clock.now += wait
        if limits.take("shop", texts) == 0:
            taken.append((clock.now, texts))
    for i, (begin, _) in enumerate(taken):
        for j in range(i, len(taken)):
            most = per_minute + (taken[j][0] - begin) * per_minute / 60
            assert sum(texts for _, texts in taken[i : j + 1]) <= most + 1e-6


@given(ASKED, st.integers(5, 30))
def test_who_waits_as_long_as_told_is_let_in(asked: list[tuple[int, int]], per_minute: int) -> None:
    limits, clock = limits_of(per_minute)
    for wait, texts in asked:
        clock.now += wait
        told = limits.take("shop", texts)
        if told:
            clock.now += told + 1e-6
            assert limits.take("shop", texts) == 0


def test_callers_do_not_share_a_bucket_and_some_have_none() -> None:
    limits, _ = limits_of(None)
    assert [limits.take("shop", 10**6) for _ in range(3)] == [0, 0, 0]
    assert [limits.take("till") > 0 for _ in range(2)] == [False, True]
    assert [limits.take("nobody", 10**6), limits.most_at_once("till")] == [0, 1]
