r"""What a rule of masking is, and the pieces that rules are made of. Pure.

A pattern means the same in Java and in Python: explicit ASCII classes only (no ``\w``, ``\b``, ``\s``, ``.`` or flags,
on which the two differ), and possessive or bounded repetition, so that no hostile text makes it slow or deep.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby


class Checksum(StrEnum):
    """What the digits of a match must satisfy besides its shape."""

    NONE = "none"
    LUHN = "luhn"
    """ISO/IEC 7812-1, annex B: the check digit of payment cards."""
    MOD_97 = "mod97"
    """ISO 13616, with ISO/IEC 7064 MOD 97-10: the two check digits of an IBAN."""


@dataclass(frozen=True, slots=True)
class MaskingRule:
    """One shape that is masked.

    Attributes:
        name: for people.
        hint: a cheap pattern that is found in every text in which ``pattern`` is; of rules with the same hint that
            follow each other, a text without it meets none. It begins with a character that texts seldom hold, or is a
            plain word, since a search that looks further at every letter costs as much as the rule.
        pattern: the regular expression; group 1, where the replacement names it, is kept.
        replacement: what stands there afterwards, in Java's notation (``$1`` is group 1).
        checksum: a match that fails it stays; such a rule's replacement names no group.
    """

    name: str
    hint: str
    pattern: str
    replacement: str
    checksum: Checksum = Checksum.NONE


@dataclass(frozen=True, slots=True)
class RuleFamily:
    """Rules that are tried one after the other.

    Attributes:
        hint: a cheap pattern that is found in every text in which one of theirs is.
        rules: in order.
    """

    hint: str
    rules: tuple[MaskingRule, ...]


HEX = "[0-9A-Fa-f]"
ESCAPE = rf"\\u{HEX}{{4}}"
"""A character as JSON may write it."""
QUOTE = '\\\\{0,7}"'
"""A quote, also one within JSON within JSON."""
BLANK = "[ \\t]{0,4}"

AFTER_ESCAPE = rf"(?<=\\[bfnrt])|(?<={ESCAPE})"
"""Where a word may begin although a letter or a digit stands before it; never within the escape."""
HARD_SPACE = r"(?:\u00a0|\\u00[aA]0)"
"""A space at which no line ends, plain or as JSON may write it."""
NO_SIGN = r"\\u00[aA]0|[^0-9A-Za-z]"
NO_DIGIT = r"\\u00[aA]0|[^0-9]"
"""What does not count in a number with a checksum."""
NUMBER_START = rf"(?:(?<![0-9A-Za-z\\])(?<![0-9][.])|{AFTER_ESCAPE})"
"""A number begins here: not within a word, a fraction or an escape of JSON, but also right after an escape."""
NUMBER_END = "(?![0-9A-Za-z])(?![.][0-9])"


def by_hint(rules: Iterable[MaskingRule]) -> Iterator[tuple[str, tuple[MaskingRule, ...]]]:
    """The rules in order, those with the same hint that follow each other together."""
    return ((hint, tuple(group)) for hint, group in groupby(rules, key=lambda rule: rule.hint))


def satisfies(checksum: Checksum, match: str) -> bool:
    """Whether a match has the right check digits; what is neither digit nor letter in it does not count.

    Example:
        >>> satisfies(Checksum.LUHN, "4111 1111 1111 1111"), satisfies(Checksum.LUHN, "4111 1111 1111 1112")
        (True, False)
        >>> satisfies(Checksum.MOD_97, "GB82 WEST 1234 5698 7654 32"), satisfies(Checksum.MOD_97, "GB83WEST12345698765")
        (True, False)
    """
    if checksum is Checksum.LUHN:
        digits = [int(digit) for digit in reversed(re.sub(NO_DIGIT, "", match))]
        doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
        return (sum(digits[::2]) + sum(doubled)) % 10 == 0
    if checksum is Checksum.MOD_97:
        written = re.sub(NO_SIGN, "", match)
        # The country and the check digits go to the end, and letters become 10 to 35.
        return int("".join(str(int(sign, 36)) for sign in written[4:] + written[:4])) % 97 == 1
    return True
