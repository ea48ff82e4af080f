"""The pages of the runbook that ship with Pegel. Edge: reads package data."""

import re
from importlib import resources

from markdown_it import MarkdownIt
from markupsafe import Markup

_PAGE = re.compile(r"[a-z0-9][a-z0-9-]{0,63}\.md")


def is_page_name(name: str) -> bool:
    """Whether a name can be that of a page: no folder, no scheme, nothing but small letters, digits and dashes.

    Example:
        >>> is_page_name("drift.md"), is_page_name("../drift.md"), is_page_name("javascript:x.md")
        (True, False, False)
    """
    return _PAGE.fullmatch(name) is not None


def read_page(name: str) -> Markup | None:
    """A page as HTML, or None if there is none of that name."""
    if not is_page_name(name):
        return None
    try:
        text = resources.files("pegel.runbook").joinpath(name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    # Pages ship with Pegel, and HTML inside them would still be shown as text.
    return Markup(MarkdownIt("commonmark", {"html": False}).render(text))
