"""Every error that Pegel raises on purpose: one tree, each with the exit code that its job ends with.

A message says what, where, why and what to do in one sentence, and never holds a secret or the text of an event.
"""

from typing import ClassVar


class PegelError(Exception):
    """The root of the tree; a job that ends with one prints the message alone, without a stack trace."""

    exit_code: ClassVar[int] = 1


class SettingsError(PegelError):
    """A setting is missing, unknown or contradicts another; whoever wrote the settings can mend it."""

    exit_code = 3


class OutsideError(PegelError):
    """Something that Pegel talks to is down, unreachable or refuses: a hub, the registry, a job service."""

    exit_code = 4


class ContractError(PegelError):
    """A record breaks the contract of its table or event; the code that made the record is wrong."""


class ReplayError(PegelError):
    """Rows that were named exactly are not there any more, or not the same."""
