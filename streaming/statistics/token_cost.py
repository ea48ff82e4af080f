"""What answers of language models cost: tokens times a price table, in whole numbers. Pure.

Prices are given for a million tokens; a token then costs a whole number of millionths of a millionth of the currency
for any price with up to six decimals. So a cost is as additive as the tokens are: neither order nor split changes it.
"""

from dataclasses import dataclass
from decimal import Decimal

from pegel.errors import SettingsError

PER_UNIT = 10**12
"""Costs are whole numbers of this part of the currency."""

_TOKENS_OF_A_PRICE = 10**6


@dataclass(frozen=True, slots=True)
class Tokens:
    """Sums of tokens, as the OpenAI API counts them.

    Attributes:
        input: of the prompts, with those that came from the cache.
        output: of the answers, with those of reasoning.
        cached: the part of the input that came from the cache.
        reasoning: the part of the output that nobody sees; priced as output.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        """Both together."""
        return Tokens(
            self.input + other.input,
            self.output + other.output,
            self.cached + other.cached,
            self.reasoning + other.reasoning,
        )


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """The price of one token, in whole parts of the currency (see :data:`PER_UNIT`); made by :func:`token_price`."""

    input: int
    output: int
    cached: int


def token_price(input_per_million: Decimal, output_per_million: Decimal, cached: Decimal | None = None) -> TokenPrice:
    """The price of a token from those of a million.

    Args:
        input_per_million: 0 or more, with up to six decimals.
        output_per_million: likewise.
        cached: likewise, of a million input tokens that came from the cache; None if they cost as much as others.

    Raises:
        SettingsError: if a price is below 0, not finite, or has more decimals.

    Example:
        >>> token_price(Decimal("2.50"), Decimal("10"), Decimal("0.0375"))
        TokenPrice(input=2500000, output=10000000, cached=37500)
    """
    prices = (input_per_million, output_per_million, input_per_million if cached is None else cached)
    return TokenPrice(*(_part(price) for price in prices))


def cost(tokens: Tokens, price: TokenPrice) -> int:
    """What the tokens cost, in whole parts of the currency.

    ``(input - cached) * price of input + cached * price of cached + output * price of output``. The service's own bill
    is the truth: it knows batches, commitments, minimum sizes of cached prompts, and prices that change.

    Args:
        tokens: summed.
        price: of the model that was asked. A price that changes is another table for another time: add the costs.

    Example:
        1,000 tokens of input, 400 of them cached, and 100 of output: 600 * 2.5 + 400 * 1.25 + 100 * 10 millionths.

        >>> price = token_price(Decimal("2.5"), Decimal("10"), Decimal("1.25"))
        >>> cost(Tokens(input=1000, output=100, cached=400), price) / PER_UNIT
        0.003
    """
    # A producer that counts cached tokens beside the input and not within must not make a cost negative.
    cached = min(max(tokens.cached, 0), tokens.input)
    return (tokens.input - cached) * price.input + cached * price.cached + tokens.output * price.output


def _part(price: Decimal) -> int:
    parts = price * PER_UNIT / _TOKENS_OF_A_PRICE if price.is_finite() else Decimal(-1)
    if parts < 0 or parts != parts.to_integral_value():
        msg = f"a price of {price} for a million tokens is none; use 0 or more, with at most six decimals"
        raise SettingsError(msg)
    return int(parts)
