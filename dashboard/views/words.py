"""Text from events made safe to look at, and the few words that every view shares. Pure.

Escaping for HTML is the template's work, and charts get text only through the document's own text nodes. Here is what
escaping leaves open: control characters, direction marks that reorder a line, and texts without an end.
"""

import unicodedata
from enum import StrEnum

MAX_NAME = 80
MAX_TITLE = 160
MAX_SENTENCE = 600
_PICTURES = 0x2400
"""Unicode's pictures of the control characters 0 to 31 begin here."""


class Level(StrEnum):
    """How bad it is. Shown as a word, a sign and a colour, never as a colour alone."""

    OK = "ok"
    WATCH = "watch"
    BROKEN = "broken"
    UNKNOWN = "unknown"

    @property
    def rank(self) -> int:
        """0 is the worst."""
        return (Level.BROKEN, Level.WATCH, Level.UNKNOWN, Level.OK).index(self)


def visible(text: str | None, limit: int = MAX_NAME) -> str:
    r"""The text with every character that could act made visible, cut to ``limit`` characters.

    Example:
        >>> visible("a\x1b[31mred\n"), visible("x" * 9, 5)
        ('a␛[31mred␊', 'xxxx…')
    """
    shown = "".join(_picture(char) for char in (text or "")[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _picture(char: str) -> str:
    code = ord(char)
    if code < 32:
        return chr(_PICTURES + code)
    # Cc: controls; Cf: direction marks and other invisible signs; Zl, Zp: line ends; Cs, Co, Cn: nothing to see.
    return "�" if unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn"} else char
