"""Text from outside as a part of a Markdown page: it is shown as it is and does nothing. Pure."""

import re
import string
import unicodedata

MAX_CHARACTERS = 500

_HARMLESS = ",-./:%;'\"=? "
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_ESCAPED = frozenset(string.punctuation) - frozenset(_HARMLESS) - frozenset(_ENTITIES)
# What readers make a link of by themselves; an address of mail has its at sign escaped anyway.
_LINK = re.compile(r"(?<=www)\.|(?<=mailto):|(?<=xmpp):|:(?=/)", re.IGNORECASE)


def escape(text: object) -> str:
    r"""One line of plain text, for use behind other text of the line or in the cell of a table.

    What would be HTML is written as entities, and what Markdown gives a meaning gets a backslash. Line breaks become
    blanks; what has no shape of its own (controls, marks of direction, surrogates) becomes a question mark.

    Example:
        >>> print(escape("a|b <script> [x](http://y) at 12:00"))
        a\|b &lt;script&gt; \[x\]\(http\://y\) at 12:00
    """
    plain = " ".join(str(text).split())
    if len(plain) > MAX_CHARACTERS:
        plain = plain[: MAX_CHARACTERS - 1] + "…"
    return _LINK.sub(r"\\\g<0>", "".join(_character(char) for char in plain))


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    """A table whose cells are escaped; an empty string without rows."""
    if not rows:
        return ""
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join(escape(cell) or "–" for cell in row) for row in rows]
    return "".join(f"| {line} |\n" for line in lines)


def _character(char: str) -> str:
    if char in _ENTITIES:
        return _ENTITIES[char]
    if char in _ESCAPED:
        return f"\\{char}"
    return "?" if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} else char
