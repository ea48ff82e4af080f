"""Finding listed words and phrases in a hostile text: no pattern language, and time linear in the text. Pure.

A text is cut into words (runs of letters, digits and underscores), after case, accents, compatibility forms and
invisible characters were taken away; so are the phrases. A phrase is one or more words; a last ``*`` lets its last word
go on. Words that stand for something else ("b0mb") are not found.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

_WORD = re.compile(r"\w+")
_INVISIBLE = frozenset({"Mn", "Me", "Cf"})


def words_of(text: str) -> list[str]:
    r"""The words of a text, as they are compared.

    Example:
        >>> words_of("Crème-Brûlée, SUI\u200bCIDE")
        ['creme', 'brulee', 'suicide']
    """
    if text.isascii():
        return _WORD.findall(text.lower())
    # Compatibility caseless matching (The Unicode Standard, D146): what a compatibility form stands for may be a
    # capital, and what a capital folds to may be a compatibility form.
    once = unicodedata.normalize("NFKD", unicodedata.normalize("NFD", text).casefold())
    plain = unicodedata.normalize("NFKD", once.casefold())
    return _WORD.findall("".join(c for c in plain if unicodedata.category(c) not in _INVISIBLE))


class PhraseFinder:
    """Looks for phrases, all of them in one pass.

    Args:
        phrases: what is looked for.

    Raises:
        ValueError: if a phrase holds no word, or a ``*`` elsewhere than at its end.
    """

    def __init__(self, phrases: Iterable[str]) -> None:
        self._whole: dict[str, list[tuple[str, ...]]] = {}
        self._begun: dict[str, list[tuple[str, ...]]] = {}
        for phrase in phrases:
            begun = phrase.endswith("*")
            words = tuple(words_of(phrase.removesuffix("*")))
            if not words or "*" in phrase.removesuffix("*"):
                msg = f"the phrase {phrase!r} needs a word, and may have one * at its end"
                raise ValueError(msg)
            (self._begun if begun else self._whole).setdefault(words[0], []).append(words)
        self._single = {words[0] for group in self._begun.values() for words in group if len(words) == 1}
        self._lengths = sorted({len(word) for word in self._single})

    def found_in(self, words: Sequence[str]) -> bool:
        """Whether one of the phrases is there.

        Args:
            words: of :func:`words_of`.

        Example:
            >>> finder = PhraseFinder(["credit score", "suicid*"])
            >>> [finder.found_in(words_of(text)) for text in ("My Credit-Score?", "suicidal", "credit the score")]
            [True, True, False]
        """
        return any(self._begins_at(words, i, word) for i, word in enumerate(words))

    def _begins_at(self, words: Sequence[str], i: int, word: str) -> bool:
        if any(tuple(words[i : i + len(phrase)]) == phrase for phrase in self._whole.get(word, ())):
            return True
        if any(word[:length] in self._single for length in self._lengths):
            return True
        return any(
            tuple(words[i : i + len(phrase) - 1]) == phrase[:-1]
            and len(words) >= i + len(phrase)
            and words[i + len(phrase) - 1].startswith(phrase[-1])
            for phrase in self._begun.get(word, ())
            if len(phrase) > 1
        )
