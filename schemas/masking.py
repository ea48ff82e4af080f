r"""What is masked in every text before the first table, and how in Python. Pure.

E-mail addresses, passwords, keys and tokens (:mod:`pegel.schemas.masking_secrets`); payment cards, IBANs, telephone
numbers and IP addresses (:mod:`pegel.schemas.masking_numbers`). The rules are data with one meaning in Java and in
Python, see :mod:`pegel.schemas.masking_rule`. Each has a cheap hint, and so has each family of rules, so a text without
hints needs no pattern; most texts do not even hold one of :data:`SIGNS`.

Promises: masking a masked text changes nothing, and an object or array of JSON stays one: a replacement holds no quote
and no backslash, a match begins and ends outside of the escapes of JSON, and what may be a number of JSON becomes one.

Limits: these are shapes, not meanings. Names, addresses and dates of birth are not found, nor is a password in a
sentence without ``=`` or ``:``.
"""

import hashlib
import re
from collections.abc import Collection, Mapping
from typing import TypeVar

from pegel.schemas.masking_numbers import NUMBER_FAMILY
from pegel.schemas.masking_rule import HARD_SPACE, Checksum, MaskingRule, by_hint, satisfies
from pegel.schemas.masking_secrets import SECRET_FAMILIES

T = TypeVar("T")

FAMILIES = (*SECRET_FAMILIES, NUMBER_FAMILY)

# Characters are spelt out, since Java asks for each range of a class in a call of its own, at every character.
_SIGN = "0123456789@%=:I"
_OTHERS = "".join(re.escape(chr(code)) for code in range(0x20, 0x7F) if chr(code) not in _SIGN)
_TELLS = (
    "(?:(?<=[@%])|(?<=A[KS]I)A|(?<=PRI)VATE"
    r"""|(?<=[dDnNtTyY'" \t\\][=:])|(?<=:)[0-9A-Fa-f]{0,4}:"""
    "|(?<=[0-9])(?:(?<=[^ ]{10}[0-9])|[^ ]{10}|(?<=[A-Za-z]{2}[0-9])[0-9]|[.][0-9]{1,3}[.][0-9]"
    rf"|(?:(?:[^0-9A-Za-z]{{0,3}}|{HARD_SPACE})[0-9]){{6}}))"
)
SIGNS = rf"\A(?:[{_OTHERS}]+|[^{_SIGN}]|[{_SIGN}](?!{_TELLS}))*+[{_SIGN}]"
"""What every text with a match holds, to be found in one pass that stops at few characters: the sign of an e-mail
address, the beginning of an AWS or a private key, a name that gets a value, or a digit within a long word, after two
letters, or among six others, or as an IP address has it."""
MIN_BYTES = 5
"""No match is shorter than ``@b.de``."""
HINTS = "|".join(dict.fromkeys(hint for family in FAMILIES for hint, _ in by_hint(family.rules)))
"""What every text with a match holds, closer than :data:`SIGNS`. Both ask only for what is there, never for what is
not: so what they find in a text they find in every longer one around it."""

UUID = "[0-9A-Fa-f]{8}-?(?:[0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}"
IDENTIFIER_DIGITS = 16


def mask(text: str) -> str:
    """Replace everything that a rule knows; ``streaming.masking.masked`` is the same for a column.

    Example:
        >>> mask('{"input": "mail ada@example.org, password: hunter2"}')
        '{"input": "mail [email], password: [secret]"}'
        >>> mask("Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=c2VjcmV0")
        'Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=[secret]'
        >>> mask("card 4111 1111 1111 1111, IBAN GB82 WEST 1234 5698 7654 32, call +49 30 1234567 from 192.0.2.1")
        'card [card], IBAN [iban], call [phone] from [ip]'
    """
    if not _MAY_MATCH.search(text):
        return text
    for family, groups in _COMPILED:
        if family.search(text):
            for hint, rules in groups:
                if hint.search(text):
                    for pattern, replacement, checksum in rules:
                        text = _replace(text, pattern, replacement, checksum)
    return text


def mask_identifier(text: str) -> str:
    """Mask an id so that different ids stay different; UUIDs and 32 hexadecimal digits stay as they are.

    What is masked gets the beginning of its SHA-256: copies and labels still find each other, and nothing is taken for
    a copy that is none. Whoever guesses the whole id can confirm it.

    Example:
        >>> mask_identifier("ada@example.org-17")
        '[email]-17#6204df7a5882b497'
        >>> mask_identifier("01234567-0123-4567-8901-234567890123")
        '01234567-0123-4567-8901-234567890123'
    """
    masked = text if _UUID.fullmatch(text) else mask(text)
    return text if masked == text else f"{masked}#{hashlib.sha256(text.encode()).hexdigest()[:IDENTIFIER_DIGITS]}"


def mask_keys(fields: Mapping[str, T], named: Collection[str] = ()) -> dict[str, T]:
    """Mask the keys of a map; ``streaming.masked_keys`` is the same for a column.

    Where several keys become one, its first entry has it, by the order of the keys as they came, and each other gets
    its place among all entries in the order of their masked keys. Of entries that still have one key, since somebody
    wrote such a number, the first stays.

    Args:
        fields: the map; no value is changed.
        named: keys that stay as they are.

    Example:
        >>> mask_keys({"country": "de", "ada@example.org": 1, "bob@example.org": 2})
        {'[email]': 1, '[email]#2': 2, 'country': 'de'}
        >>> mask_keys({"z": 1, "a": 2})
        {'z': 1, 'a': 2}
    """
    masked = {key: key if key in named else mask(key) for key in fields}
    if all(key == name for key, name in masked.items()):
        return dict(fields)
    kept: dict[str, T] = {}
    before = None
    for place, (name, key) in enumerate(sorted((name, key) for key, name in masked.items()), 1):
        kept.setdefault(f"{name}#{place}" if name == before else name, fields[key])
        before = name
    return kept


def _replace(text: str, pattern: re.Pattern[str], replacement: str, checksum: Checksum) -> str:
    if checksum is Checksum.NONE:
        return pattern.sub(replacement, text)
    return pattern.sub(lambda match: replacement if satisfies(checksum, match[0]) else match[0], text)


def _compiled(rule: MaskingRule) -> tuple[re.Pattern[str], str, Checksum]:
    return re.compile(rule.pattern), rule.replacement.replace("$1", r"\g<1>"), rule.checksum


_UUID = re.compile(UUID)
_MAY_MATCH = re.compile(SIGNS)
_COMPILED = tuple(
    (
        re.compile(family.hint),
        tuple((re.compile(hint), tuple(map(_compiled, rules))) for hint, rules in by_hint(family.rules)),
    )
    for family in FAMILIES
)
