"""Write the pages that follow from the code: ``make docs``. A test fails while they are stale."""

from dataclasses import replace
from pathlib import Path

from pegel.conf.documentation import settings_page
from pegel.schemas.documentation import EVENTS, alert_stream_columns, event_schema, events_page, tables_page
from pegel.schemas.loop_tables import audit_table
from pegel.schemas.tables import TABLES

DOCS = Path(__file__).parent

_AUDIT = replace(audit_table("writer"), name="audit_events_<writer>", writer="the process of that name")


def pages() -> dict[str, str]:
    """Every generated file, by its path from ``docs/``."""
    return {
        "tables.md": tables_page([*TABLES.values(), _AUDIT]),
        "settings.md": settings_page(),
        "events/README.md": events_page(),
        **{f"events/{name}.schema.json": event_schema(name) for name in EVENTS},
        "../conf/azure/alert-stream.json": alert_stream_columns(),
    }


def main() -> None:
    """Write them."""
    for path, text in pages().items():
        file = DOCS / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
