"""Cost in whole numbers: the plain product, however tokens are split."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pegel.errors import SettingsError
from pegel.streaming.statistics.token_cost import PER_UNIT, Tokens, cost, token_price

PRICES = st.decimals(0, 1000, places=6)
CALLS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6)), max_size=20)


@settings(max_examples=50)
@given(calls=CALLS, cut=st.integers(0, 20), prices=st.tuples(PRICES, PRICES, PRICES))
def test_cost_is_that_of_each_call_to_the_last_part(
    calls: list[tuple[int, int, int]], cut: int, prices: tuple[Decimal, Decimal, Decimal]
) -> None:
    price = token_price(*prices)
    tokens = [Tokens(first + cached, output, cached) for first, output, cached in calls]
    each = sum((first * prices[0] + output * prices[1] + cached * prices[2]) / 10**6 for first, output, cached in calls)
    assert sum(cost(one, price) for one in tokens) == each * PER_UNIT
    parts = sum(tokens[:cut], Tokens()), sum(tokens[cut:], Tokens())
    assert cost(parts[0], price) + cost(parts[1], price) == cost(sum(tokens, Tokens()), price) == each * PER_UNIT


def test_cached_tokens_without_a_price_cost_as_much_as_others() -> None:
    price = token_price(Decimal(2), Decimal(8))
    assert cost(Tokens(input=10, cached=4), price) == cost(Tokens(input=10), price)


def test_more_cached_tokens_than_input_make_no_negative_cost() -> None:
    assert cost(Tokens(input=3, cached=10), token_price(Decimal(2), Decimal(8), Decimal(1))) == 3 * 10**6


def test_reasoning_is_part_of_the_output_and_not_paid_twice() -> None:
    price = token_price(Decimal(2), Decimal(8))
    assert cost(Tokens(output=100, reasoning=60), price) == cost(Tokens(output=100), price)


@pytest.mark.parametrize("wrong", ["-1", "0.0000001", "NaN", "Infinity"])
def test_price_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(SettingsError, match="for a million tokens"):
        token_price(Decimal(1), Decimal(wrong))
