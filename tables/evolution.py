"""How a table that is there becomes what this version of Pegel writes: columns are added, nothing else. Edge.

A column that may be null is added behind the others, and old rows read null in it. All else would change rows that
are there or break readers, so it is refused. A column that only a newer version knows stays, and new rows are null
in it, so that an older version can be put back.
"""

import pyarrow as pa
from deltalake import DeltaTable, Field, Schema
from deltalake.exceptions import CommitFailedError

from pegel.errors import ContractError
from pegel.schemas.columns import Table

_WHAT_TO_DO = "columns are only ever added, so run the version that made the table, or give storage.root a new place"


def add_missing_columns(table: Table, there: DeltaTable) -> None:
    """Add the columns that the table lacks, in one commit; without any there is none.

    Args:
        table: what this version writes.
        there: the table as it stands now; it is brought up to date.

    Raises:
        ContractError: see :func:`missing_fields`.
        Exception: whatever ``deltalake`` raises if the storage refuses.
    """
    if not (missing := missing_fields(table, there.schema())):
        return
    try:
        there.alter.add_columns(missing)
    except CommitFailedError:
        # Another writer of the same table was quicker; if it was not that, the columns are still missing.
        there.update_incremental()
        if missing_fields(table, there.schema()):
            raise


def bring_properties(table: Table, there: DeltaTable) -> None:
    """Give a table that an older version made the properties of this one, in one commit; else there is none.

    Only the process that writes the table may do this, and not while it writes: Delta refuses the commits of others
    that are under way.
    """
    has = there.metadata().configuration
    missing = {name: value for name, value in table.properties.items() if has.get(name) != value}
    if missing:
        there.alter.set_table_properties(missing)


def missing_fields(table: Table, there: Schema) -> list[Field]:
    """The columns that are to be added, in the order of the description.

    Args:
        table: what this version writes.
        there: the schema of the table that is there.

    Raises:
        ContractError: if a column that may not be null is missing, one has another type or may not be null where this
            version leaves it null, or one that only the table knows may not be null.

    Example:
        >>> from pegel.schemas.columns import Column
        >>> old = Table("t", "an event", ("a",), "stream", (Column("a", "int", "what"),))
        >>> new = Table("t", "an event", ("a",), "stream", (*old.columns, Column("b", "string", "why")))
        >>> missing_fields(new, Schema.from_arrow(old.arrow_schema))
        [Field(b, PrimitiveType("string"), nullable=True)]
    """
    known = {field.name: field for field in there.fields}
    wanted = Schema.from_arrow(table.arrow_schema).fields
    for field in wanted:
        if field.name in known:
            _refuse_change(table.name, known.pop(field.name), field)
        elif not field.nullable:
            _refuse(table.name, f"lacks the column {field.name!r}, which old rows cannot have, as it may not be null")
    for field in known.values():
        if not field.nullable:
            _refuse(table.name, f"has the column {field.name!r}, which may not be null and is unknown to this version")
    names = {field.name for field in there.fields}
    return [field for field in wanted if field.name not in names]


def with_columns_of(data: pa.Table, there: DeltaTable) -> pa.Table:
    """The rows with null in each column that only the table knows: ``deltalake`` appends no row that lacks one."""
    for field in there.schema().fields:
        if field.name not in data.column_names:
            kind = pa.field(field.to_arrow()).type
            data = data.append_column(pa.field(field.name, kind), pa.nulls(data.num_rows, kind))
    return data


def _refuse_change(name: str, there: Field, wanted: Field) -> None:
    if there.type != wanted.type:
        was, now = _plain(there), _plain(wanted)
        _refuse(name, f"holds the column {wanted.name!r} as {was}, and this version writes {now}")
    if wanted.nullable and not there.nullable:
        _refuse(name, f"refuses null in the column {wanted.name!r}, which this version may leave empty")


def _plain(field: Field) -> str:
    return str(pa.field(field.to_arrow()).type)


def _refuse(name: str, what: str) -> None:
    msg = f"the table {name!r} {what}; {_WHAT_TO_DO}"
    raise ContractError(msg)
