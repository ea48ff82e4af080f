"""Write the pages that follow from the code: ``make docs``. A test fails while they are stale."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from pegel.conf.documentation import settings_page
from pegel.schemas.documentation import EVENTS, alert_stream_columns, event_schema, events_page, tables_page
from pegel.schemas.loop_tables import audit_table
from pegel.schemas.state_machines import state_machines_page
from pegel.schemas.tables import TABLES

DOCS = Path(__file__).parent
GUARANTEES = "guarantees.yml"

_AUDIT = replace(audit_table("writer"), name="audit_events_<writer>", writer="the process of that name")


def pages() -> dict[str, str]:
    """Every generated file, by its path from ``docs/``."""
    return {
        "tables.md": tables_page([*TABLES.values(), _AUDIT]),
        "settings.md": settings_page(),
        "guarantees.md": guarantees_page(),
        "state-machines.md": state_machines_page(),
        "events/README.md": events_page(),
        **{f"events/{name}.schema.json": event_schema(name) for name in EVENTS},
        "../conf/azure/alert-stream.json": alert_stream_columns(),
    }


_GUARANTEES_HEAD = """# What is promised of the tables, and the test that shows it

Made by `make docs` from `guarantees.yml`. It is about the way from the hubs to the tables of ingest. What is not listed
is not promised.

| under this fault | it holds that | shown by | not shown |
|---|---|---|---|
"""


def guarantees() -> list[Mapping[str, Any]]:
    """Each promise: ``fault``, ``promise``, ``tests`` (paths, or paths with ``::`` and a name), ``missing``."""
    found: list[Mapping[str, Any]] = yaml.safe_load((DOCS / GUARANTEES).read_text(encoding="utf-8"))
    return found


def guarantees_page() -> str:
    """The page."""
    return _GUARANTEES_HEAD + "".join(f"{_row(one)}\n" for one in guarantees())


def _row(one: Mapping[str, Any]) -> str:
    tests = "<br>".join(f"`{test}`" for test in one.get("tests", ()))
    return f"| {one['fault']} | {one['promise']} | {tests} | {one.get('missing', '')} |"


def main() -> None:
    """Write them."""
    for path, text in pages().items():
        file = DOCS / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
