"""No retraining beside another one of its model, none too soon after one, and no more of them a day than may be."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pegel.alerts.retraining.guards import DAY, Guards, hold

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
minutes = st.integers(0, 60 * 24).map(lambda n: timedelta(minutes=n))
guards = st.builds(Guards, cooldown=minutes, daily_cap=st.integers(1, 4), run_limit=minutes)
steps = st.lists(st.tuples(st.sampled_from(["ask", "end"]), st.integers(1, 180)), max_size=60)


@given(guards, steps)
def test_whoever_asks_whenever_the_bounds_hold(bounds, history):
    now, starts, ends = NOON, {}, {}
    for number, (what, passed) in enumerate(history):
        now += timedelta(minutes=passed)
        running = [i for i in starts if i not in ends]
        if what == "end" and running:
            ends[running[-1]] = now
        elif what == "ask" and hold(starts, ends, now, bounds) is None:
            alive = [i for i in running if now < starts[i] + bounds.run_limit]
            assert alive == []
            assert all(now >= at + bounds.cooldown for at in ends.values())
            starts[str(number)] = now
            assert sum(now - at < DAY for at in starts.values()) <= bounds.daily_cap


@given(guards, st.lists(minutes, max_size=6), minutes)
def test_a_hold_is_over_at_the_time_that_it_names_at_the_latest(bounds, ended, passed):
    starts = {str(n): NOON - at - HOUR for n, at in enumerate(ended)}
    ends = {str(n): NOON - at for n, at in enumerate(ended)}
    now = NOON + passed
    found = hold(starts, ends, now, bounds)
    if found is not None:
        assert found.until > now
        assert hold(starts, ends, found.until, bounds) is None
