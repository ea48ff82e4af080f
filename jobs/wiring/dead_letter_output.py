"""Dead letters as people and programs read them in a terminal. Pure.

What stands in an event is hostile: a terminal obeys control characters, so none is written as it is.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from pegel.jobs.wiring.log_lines import visible
from pegel.schemas.dead_letters import DeadLetter, RequeueState
from pegel.tables.requeue import RequeueReport

_HEADS = ("ENQUEUED", "EVENT", "REASON", "BODY", "REQUEUED", "DETAIL")

_SAID = {
    RequeueState.GONE: "are gone: the hub does not hold them any more",
    RequeueState.OTHER: "are other events now: the hub was made anew",
    RequeueState.TOO_LARGE: "are larger than the hub takes",
}


def as_json(letters: Sequence[DeadLetter]) -> str:
    """One JSON array; keys are the columns of the table, ``characters`` and ``requeues``. Without bodies."""
    return json.dumps([_document(letter) for letter in letters], indent=2) + "\n"


def as_table(letters: Sequence[DeadLetter]) -> str:
    """One line each, in columns as wide as they need to be."""
    if not letters:
        return "no dead letters\n"
    rows = [_HEADS, *(_cells(letter) for letter in letters)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADS))]
    return "".join("  ".join(map(str.ljust, row, widths)).rstrip() + "\n" for row in rows)


def shown(letter: DeadLetter, body: str | None) -> str:
    """All that is known of one, and its masked body."""
    lines = [f"{name}: {visible(str(value))}" for name, value in _document(letter).items()]
    kept = "(no body was kept: requeue reads it from the hub)" if body is None else visible(body)
    return "\n".join([*lines, "body:", kept, "", ""])


def report_lines(report: RequeueReport, *, is_dry: bool = False) -> Iterator[str]:
    """What a requeue did, or would do, in words.

    Example:
        >>> report = RequeueReport(3, 2, 1, {RequeueState.SENT: 5, RequeueState.GONE: 1})
        >>> print("".join(report_lines(report)), end="")
        requeue 3: 5 sent
        1 are gone: the hub does not hold them any more
        2 left out: they were sent before; --again sends them once more
        1 left out: an earlier requeue was cut off and may have sent them; --again sends them once more
    """
    if is_dry:
        yield f"{report.states.get(RequeueState.CLAIMED, 0)} would be sent\n"
    else:
        yield f"requeue {report.run}: {report.states.get(RequeueState.SENT, 0)} sent\n"
    for state, words in _SAID.items():
        if report.states.get(state):
            yield f"{report.states[state]} {words}\n"
    if report.left_out:
        yield f"{report.left_out} left out: they were sent before; --again sends them once more\n"
    if report.unfinished:
        yield (
            f"{report.unfinished} left out: an earlier requeue was cut off and may have sent them; "
            "--again sends them once more\n"
        )


def _document(letter: DeadLetter) -> dict[str, Any]:
    return {
        "hub": letter.place.hub,
        "partition": letter.place.partition,
        "offset": letter.place.offset,
        "batch_id": letter.batch_id,
        "enqueued_time": letter.enqueued_time.isoformat(),
        "reason": letter.reason,
        "detail": letter.detail,
        "sha256": letter.sha256,
        "characters": letter.characters,
        "requeues": [state.value for state in letter.requeues],
    }


def _cells(letter: DeadLetter) -> tuple[str, ...]:
    sent = sum(state is RequeueState.SENT for state in letter.requeues)
    last = f" ({letter.requeues[-1].value})" if letter.requeues else ""
    return (
        letter.enqueued_time.isoformat(sep=" ", timespec="seconds"),
        visible(str(letter.place)),
        visible(letter.reason),
        "-" if letter.characters is None else str(letter.characters),
        f"{sent}{last}",
        visible(letter.detail or ""),
    )
