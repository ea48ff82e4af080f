import json
import runpy
from pathlib import Path

import jsonschema
import pytest

from pegel.schemas.documentation import EVENTS, EXAMPLES, event_schema
from pegel.schemas.events import FEEDBACK_FIELDS, PREDICTION_FIELDS
from pegel.schemas.tables import TABLES

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGES = runpy.run_path(str(DOCS / "generate.py"))["pages"]()


@pytest.mark.parametrize("path", sorted(PAGES))
def test_generated_page_is_what_the_code_says(path):
    written = (DOCS / path).read_text(encoding="utf-8")

    assert written == PAGES[path], f"docs/{path} is stale: run `make docs`"


def test_every_table_and_column_has_its_line():
    page = PAGES["tables.md"]

    for table in TABLES.values():
        section = page.split(f"\n## `{table.name}`\n")[1].split("\n## ")[0]
        assert [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")] == list(table.names)


def validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads(event_schema(name))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", EVENTS)
def test_schema_takes_the_example_and_the_model_takes_it_too(name):
    validator(name).validate(EXAMPLES[name])
    EVENTS[name].model_validate(EXAMPLES[name])


@pytest.mark.parametrize("name", EVENTS)
def test_schema_takes_fields_that_it_does_not_know(name):
    validator(name).validate({**EXAMPLES[name], "added_later": 1})


@pytest.mark.parametrize(("name", "fields"), [("prediction", PREDICTION_FIELDS), ("feedback", FEEDBACK_FIELDS)])
def test_schema_has_every_field_of_ingest(name, fields):
    assert {field.json for field in fields} <= set(json.loads(event_schema(name))["properties"])


@pytest.mark.parametrize(("name", "fields"), [("prediction", PREDICTION_FIELDS), ("feedback", FEEDBACK_FIELDS)])
def test_schema_refuses_an_event_without_a_field_that_ingest_requires(name, fields):
    for field in fields:
        if field.required:
            broken = {key: value for key, value in EXAMPLES[name].items() if key != field.json}
            assert not validator(name).is_valid(broken), field.json
