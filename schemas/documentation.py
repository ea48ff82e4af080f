"""The contracts as pages for people and as JSON Schema for other programs. Pure: ``docs/generate.py`` writes them."""

import json
from collections.abc import Iterable

from pydantic import BaseModel

from pegel.schemas.alert_stream import COLUMNS
from pegel.schemas.columns import Column, Table
from pegel.schemas.events import EARLIEST_TIME, REASONS, SCHEMA_VERSION, FeedbackEvent, PredictionEvent

EVENTS: dict[str, type[BaseModel]] = {"prediction": PredictionEvent, "feedback": FeedbackEvent}
"""The events that come in, by the name in ``event_type``."""

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TABLES_HEAD = """# The tables

Made by `make docs` from `schemas/stream_tables.py` and `schemas/loop_tables.py`; change it there.

Each table is a Delta table under `storage.root` by its name, so that any Delta reader finds it. Rows are only ever
appended. One process writes a table, all others only read it. Times are UTC. A key holds nothing random and nothing
read from a clock, so a micro-batch that is done again makes the same rows, and they are not stored twice.

A table of an older version gets the columns that it lacks from the process that writes it, when it writes for the first
time: at the end, with null in the rows that are there. Nothing else is ever changed. A table that differs in another
way (a type, a column that may not be null) is refused before anything is written: run the version that made it, or give
`storage.root` a new place. A column that only a newer version knows stays, and an older version writes null there.
"""


def tables_page(tables: Iterable[Table]) -> str:
    """All tables as one page of Markdown.

    Example:
        >>> from pegel.schemas.columns import Column
        >>> page = tables_page([Table("t", "an event", ("a",), "stream", (Column("a", "int", "what"),))])
        >>> page.splitlines()[-1]
        '| `a` | `int` | yes | what |'
    """
    return _TABLES_HEAD + "".join(_table(table) for table in tables)


def event_schema(name: str) -> str:
    """The JSON Schema of an event, as the text of a file.

    Args:
        name: a key of :data:`EVENTS`.
    """
    schema = EVENTS[name].model_json_schema(by_alias=True, mode="validation")
    whole = {"$schema": _DIALECT, "$id": f"urn:pegel:{name}:{SCHEMA_VERSION}", **schema}
    return json.dumps(whole, indent=2, ensure_ascii=False, sort_keys=False) + "\n"


def events_page() -> str:
    """What an event is, with an example of each, as a page of Markdown."""
    reasons = ", ".join(f"`{reason}`" for reason in REASONS)
    return _EVENTS_HEAD.format(reasons=reasons, earliest=EARLIEST_TIME.year) + "".join(_event(name) for name in EVENTS)


def _event(name: str) -> str:
    meaning = (EVENTS[name].__doc__ or "").strip().replace("``", "`")
    example = json.dumps(EXAMPLES[name], indent=2, ensure_ascii=False)
    file = f"{name}.schema.json"
    return f"\n## {name.capitalize()}\n\n{meaning} Schema: [{file}]({file}).\n\n```json\n{example}\n```\n"


_EVENTS_HEAD = """# The events

Made by `make docs` from `schemas/events.py`; change it there.

An event is one JSON object in UTF-8, at most 1 MiB. Names follow the OpenTelemetry GenAI conventions where these have
one. Times are RFC 3339 with an offset, from {earliest} on. Each event is read by the version in `schema_version`, 1 if
it says none; fields that this version does not know are kept. Predictions and feedback have a hub each. The producer
makes `event_id` and `feedback_id`; a copy carries the same id, is counted as a duplicate and is not stored again.
E-mail addresses and secrets are masked before the first table.

An event that breaks the contract is kept as a dead letter with the first reason that holds, in this order:
{reasons}.
"""

EXAMPLES: dict[str, dict[str, object]] = {
    "prediction": {
        "schema_version": SCHEMA_VERSION,
        "event_type": "prediction",
        "event_id": "0197f3a2-6c1e-7d43-9b1a-3f0c5a1e77d0",
        "event_time": "2026-11-25T03:00:00.123456Z",
        "model_name": "assistant",
        "model_version": "7",
        "input": "what is my balance",
        "features": {"known_word_share": 0.98},
        "output": "balance",
        "probabilities": {"balance": 0.91, "bill_due": 0.04},
        "segments": {"channel": "web"},
        "latency_ms": 12.5,
        "gen_ai.usage.input_tokens": 4,
    },
    "feedback": {
        "schema_version": SCHEMA_VERSION,
        "event_type": "feedback",
        "feedback_id": "0197f3a2-9e50-7c11-8f6e-0b1d2c3a4f55",
        "event_id": "0197f3a2-6c1e-7d43-9b1a-3f0c5a1e77d0",
        "prediction_time": "2026-11-25T03:00:00.123456Z",
        "feedback_time": "2026-11-25T03:00:20Z",
        "kind": "label",
        "label": "balance",
    },
}
"""One valid event of each kind."""


def _table(table: Table) -> str:
    key = ", ".join(f"`{name}`" for name in table.key)
    rows = "".join(_column(column) for column in table.columns)
    return (
        f"\n## `{table.name}`\n\nOne row is {table.meaning}. Key: {key}. Written by: {table.writer}.\n\n"
        f"| column | type | may be null | meaning |\n|---|---|---|---|\n{rows}"
    )


def _column(column: Column) -> str:
    nullable = "yes" if column.nullable else "no"
    return f"| `{column.name}` | `{_cell(column.type)}` | {nullable} | {_cell(column.meaning)} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def alert_stream_columns() -> str:
    """The columns of the alert stream as JSON, for the template that makes the table and the rule on Azure."""
    columns = [{"name": name, "type": kind} for name, kind in COLUMNS.items()]
    return json.dumps({"columns": columns}, indent=2) + "\n"
