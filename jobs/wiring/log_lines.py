r"""The log of a job: what comes from outside starts no line of its own and commands no terminal. Wiring.

An id, a model's name or the words of an error may be an attacker's. A line break in them would forge a line of the log,
and an escape sequence would hide what a person on call has to read.
"""

import logging
import sys
from types import TracebackType

ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
NOISY = ("azure", "uamqp", "httpx", "httpx2", "py4j", "alembic", "mlflow")
"""Libraries whose everyday messages are of no use here."""


class OneLine(logging.Formatter):
    r"""Writes each message on one line, with what is not printable as an escape; a traceback keeps its lines.

    Example:
        >>> record = logging.LogRecord("pegel", logging.INFO, "", 0, "%s failed", ("a\nERROR pegel: \x1b[2Jb",), None)
        >>> OneLine("%(levelname)s %(message)s").format(record)
        'INFO a\\nERROR pegel: \\x1b[2Jb failed'
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - it is logging's own name
        """The line without what a traceback adds."""
        return visible(super().formatMessage(record))

    def formatException(self, ei: ExceptionInfo) -> str:  # noqa: N802 - it is logging's own name
        """The traceback, indented, so that no line of it passes for one of the log."""
        return "\n".join("  " + visible(line) for line in super().formatException(ei).splitlines())


def log_to_standard_error() -> None:
    """Set up the log of this process, once; a log that is set up already, as on a cluster, stays as it is."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)


def visible(text: str) -> str:
    r"""The text with every control and other unprintable character as an escape.

    Example:
        >>> print(visible("größe \x1b[31m\n\u202e"))
        größe \x1b[31m\n\u202e
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
