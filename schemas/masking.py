r"""What is masked in every text before the first table: e-mail addresses, keys, tokens and passwords. Pure.

The rules are data with one meaning in Java and in Python: patterns use explicit ASCII classes only (no ``\w``, ``\b``,
``\s``, ``.`` or flags, on which the two differ), and possessive or bounded repetition, so that no hostile text makes
them slow or deep. Every match of a rule holds one of the rule's marks, so a text without marks needs no pattern.

Promises: masking a masked text changes nothing, and a valid JSON text stays valid: a replacement holds no quote and no
backslash, and a match begins and ends outside of the escapes of JSON (``\n``, ``\u00e9``).

Limits: these are shapes, not meanings. Names, addresses and numbers of people are not found, nor is a password in a
sentence without ``=`` or ``:``.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MaskingRule:
    """One shape that is masked.

    Attributes:
        name: for people.
        marks: literals; every match of the pattern holds at least one of them.
        pattern: the regular expression; group 1, where there is one, is kept.
        replacement: what stands there afterwards, in Java's notation (``$1`` is group 1).
    """

    name: str
    marks: tuple[str, ...]
    pattern: str
    replacement: str


_HEX = "[0-9A-Fa-f]"
_ESCAPE = rf"\\u{_HEX}{{4}}"
# A match must not begin inside an escape of JSON: not at the n of \n, nor at one of the four digits of \u00e9.
_NOT_IN_ESCAPE = rf"(?<!\\)(?<!\\u)(?<!\\u{_HEX})(?<!\\u{_HEX}{{2}})(?<!\\u{_HEX}{{3}})"
# A token begins where a word begins; after an escape too, since \nsk-… is a token at the start of a line.
_TOKEN = "A-Za-z0-9_-"
_WORD_START = rf"(?:(?<![{_TOKEN}])|(?<=\\[bfnrt])|(?<={_ESCAPE}))"
_TOKEN_END = f"(?![{_TOKEN}])"
_HAS_DIGIT = "(?=[A-Za-z_.~+/=-]{0,256}[0-9])"

# Latin with its accents, Greek and Cyrillic (U+00C0 to U+052F), plain or as an escape; scripts without spaces between
# words are left out, or the address would take the sentence before it along.
_LETTERS = "A-Za-z0-9À-ԯ"
_LETTER_ESCAPE = rf"\\u0[0-5]{_HEX}{{2}}"
_LOCAL_RUN = f"[{_LETTERS}._+'-]{{0,64}}+"
_ADDRESS = f"{_LOCAL_RUN}(?:{_LETTER_ESCAPE}{_LOCAL_RUN}){{0,16}}+(?:@|%40)"
_DOMAIN = rf"(?:[{_LETTERS}.-]|{_LETTER_ESCAPE}){{1,190}}\.(?:[A-Za-zÀ-ԯ]|{_LETTER_ESCAPE}){{2,24}}+"

# Written small, Capital or LARGE: a flag would mean more in Python, where the long s and the Kelvin sign fold too.
_SECRET_NAME = (
    "(?=[AaPpSs])(?:(?:SharedAccess|Account)Key|[Aa][Pp][Ii][_ -]?(?:[Kk]ey|KEY)"
    "|[Pp]ass(?:[Ww]ord|wd)|PASS(?:WORD|WD)|[Ss]ecret|SECRET|[Aa]ccess(?:_t|T)oken|ACCESS_TOKEN)"
)
_BLANK = "[ \\t]{0,4}"
_QUOTE = '\\\\{0,7}"'
_BARE_VALUE = r"""[^ \t\r\n"'\\,;&<>{}]"""
_QUOTED_VALUE = r'[^"\\\r\n]'


def _run_of(characters: str) -> str:
    r"""One or more of these characters or of the escapes ``\uXXXX``, and not what a masked text already holds there."""
    some = rf"{characters}*+"
    return rf"(?!\[secret\])(?={characters}|{_ESCAPE}){some}(?:{_ESCAPE}{some}){{0,64}}+"


def _token(head: str, tail: str, *, kept: bool = False) -> str:
    """A word that begins with ``head``. The head is looked for first, since few places have it."""
    return f"(?={head})" + (f"({_WORD_START}{head})" if kept else f"{_WORD_START}{head}") + tail


# Rules that share their marks stand together: they cost a text without these marks one test.
_EMAIL_MARKS = ("@", "%40")
_SECRET_MARKS = ("assw", "assW", "ASSW", "ecret", "ECRET", "key", "Key", "KEY", "ss_token", "ssToken", "SS_TOKEN")
_BEARER_MARKS = ("earer ", "EARER ")
_TOKEN_MARKS = ("sig=", "sk-", "AKIA", "ASIA", "ghp_", "github_pat_", "dapi", "eyJ")

RULES = (
    MaskingRule("e-mail address", _EMAIL_MARKS, rf"(?={_ADDRESS}){_NOT_IN_ESCAPE}{_ADDRESS}{_DOMAIN}", "[email]"),
    MaskingRule(
        "secret in quotes",
        _SECRET_MARKS,
        rf"({_SECRET_NAME}{_QUOTE}{_BLANK}:{_BLANK}{_QUOTE}){_run_of(_QUOTED_VALUE)}",
        "$1[secret]",
    ),
    # Still a number, as brackets without quotes would not be JSON. There is no group 10, so $10 is group 1 and a 0.
    MaskingRule("secret number", _SECRET_MARKS, rf"({_SECRET_NAME}{_QUOTE}{_BLANK}:{_BLANK})[0-9.eE+-]++", "$10"),
    # A quote may also be the end of a string of JSON, where a colon or a bracket can follow: they begin no value.
    MaskingRule(
        "secret assigned",
        _SECRET_MARKS,
        rf"""({_SECRET_NAME}'?{_BLANK}[=:]{_BLANK}["']?)(?![:\]]){_run_of(_BARE_VALUE)}""",
        "$1[secret]",
    ),
    MaskingRule(
        "bearer token",
        _BEARER_MARKS,
        rf"((?:[Bb]earer|BEARER) {{1,4}}){_HAS_DIGIT}[A-Za-z0-9._~+/=-]{{20,}}+",
        "$1[secret]",
    ),
    MaskingRule("signature of a SAS", _TOKEN_MARKS, _token("sig=", "[A-Za-z0-9%+/=]{20,}+", kept=True), "$1[secret]"),
    MaskingRule("API key", _TOKEN_MARKS, _token("sk-", f"{_HAS_DIGIT}[{_TOKEN}]{{20,}}+"), "[secret]"),
    MaskingRule("AWS access key", _TOKEN_MARKS, _token("A(?:KI|SI)A", f"[0-9A-Z]{{16}}{_TOKEN_END}"), "[secret]"),
    MaskingRule("GitHub token", _TOKEN_MARKS, _token("g(?:hp_|ithub_pat_)", "[A-Za-z0-9_]{22,}+"), "[secret]"),
    MaskingRule("Databricks token", _TOKEN_MARKS, _token("dapi", f"[0-9a-f]{{32}}(?:-[0-9])?{_TOKEN_END}"), "[secret]"),
    MaskingRule(
        "JSON web token", _TOKEN_MARKS, _token("eyJ", rf"[{_TOKEN}]{{8,}}+(?:\.[{_TOKEN}]*+){{1,4}}+"), "[secret]"
    ),
)

_COMPILED = tuple((rule.marks, re.compile(rule.pattern), rule.replacement.replace("$1", r"\g<1>")) for rule in RULES)


def mask(text: str) -> str:
    """Replace everything that a rule knows; ``streaming.masking.masked`` is the same for a column.

    Example:
        >>> mask('{"input": "mail ada@example.org, password: hunter2"}')
        '{"input": "mail [email], password: [secret]"}'
        >>> mask("Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=c2VjcmV0")
        'Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=[secret]'
    """
    for marks, pattern, replacement in _COMPILED:
        if any(mark in text for mark in marks):
            text = pattern.sub(replacement, text)
    return text
