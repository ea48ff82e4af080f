"""One description of a table that Spark, pyarrow and people can read. Pure.

Types are written as in Spark's DDL; :func:`arrow_type` knows the few that Pegel uses.
"""

from dataclasses import dataclass, field

import pyarrow as pa

from pegel.errors import ContractError

_SIMPLE = {
    "string": pa.string(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, its type in Spark's DDL, what it means, and whether it may be null."""

    name: str
    type: str
    meaning: str
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A Delta table: its name below ``storage.root``, its columns, its key and the one process that writes it."""

    name: str
    meaning: str
    key: tuple[str, ...]
    writer: str
    columns: tuple[Column, ...]
    properties: dict[str, str] = field(default_factory=dict)

    @property
    def ddl(self) -> str:
        """The columns as Spark DDL, for ``StructType.fromDDL`` and ``CREATE TABLE``."""
        return ", ".join(f"{c.name} {c.type}{'' if c.nullable else ' NOT NULL'}" for c in self.columns)

    @property
    def arrow_schema(self) -> pa.Schema:
        """The same columns as a pyarrow schema, for writers without Spark."""
        return pa.schema([pa.field(c.name, arrow_type(c.type), nullable=c.nullable) for c in self.columns])

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns in their order."""
        return tuple(c.name for c in self.columns)


def arrow_type(ddl: str) -> pa.DataType:
    """Translate one type of Spark's DDL.

    Args:
        ddl: a type such as ``bigint``, ``map<string,bigint>`` or ``array<struct<a:int,b:string>>``.

    Raises:
        ContractError: if the type is not one that Pegel's tables use.

    Example:
        >>> arrow_type("map<string,bigint>")
        MapType(map<string, int64>)
        >>> arrow_type("struct<a:int,b:array<string>>").field("b").type
        ListType(list<element: string>)
    """
    ddl = ddl.strip()
    if ddl in _SIMPLE:
        return _SIMPLE[ddl]
    if not ddl.endswith(">") or "<" not in ddl:
        msg = f"the type {ddl!r} has no pyarrow counterpart here; use one of {sorted(_SIMPLE)}, map, array or struct"
        raise ContractError(msg)
    head, inner = ddl.split("<", 1)
    parts = _split(inner[:-1])
    if head == "map":
        return pa.map_(arrow_type(parts[0]), arrow_type(parts[1]))
    if head == "array":
        return pa.list_(pa.field("element", arrow_type(parts[0])))
    if head == "struct":
        named = (part.split(":", 1) for part in parts)
        return pa.struct([pa.field(name.strip(), arrow_type(kind)) for name, kind in named])
    msg = f"the type {head!r} is not a map, an array or a struct"
    raise ContractError(msg)


def _split(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for i, char in enumerate(text):
        depth += (char == "<") - (char == ">")
        if char == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [*parts, text[start:]]
