"""What a writer of the audit trail may be called stands in one place: settings take the names that tables take."""

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from pegel.conf.settings import Settings
from pegel.errors import ContractError
from pegel.lifecycle.first_version import AUDIT_WRITER
from pegel.schemas.loop_tables import audit_table

NAMES = st.one_of(st.from_regex(r"[a-z][a-z0-9_]{0,45}", fullmatch=True), st.text(max_size=45))


def table_takes(name: str) -> bool:
    with suppress(ContractError):
        return bool(audit_table(name))
    return False


def refused_at(name: str) -> set[tuple[int | str, ...]]:
    """The settings that refuse it, each for itself."""
    try:
        Settings.model_validate({"serving": {"audit_writer": name}, "audit": {"writers": [name]}})
    except ValidationError as error:
        return {fault["loc"][:2] for fault in error.errors()}
    return set()


@given(NAMES)
@example("a" * 40)
@example("a" * 41)
@example("serve\n")
@example("")
@example("Serve")
def test_a_writer_that_settings_take_has_a_table_and_no_other_has(name: str) -> None:
    assert refused_at(name) == (set() if table_takes(name) else {("serving", "audit_writer"), ("audit", "writers")})


@pytest.mark.parametrize("writer", ["serve", "webhook", "retrain", "deliver", AUDIT_WRITER])
def test_every_process_that_decides_is_anchored_and_verified_unless_told_otherwise(writer: str) -> None:
    assert writer in Settings().audit.writers
