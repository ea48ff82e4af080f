"""The small part of the Kusto Query Language that Pegel's alert rules use; everything else is refused. Pure.

``where`` with ``==``, ``!=``, ``in (…)`` and ``and``; ``summarize arg_max(column, *) by``, ``summarize count() by``;
``project``; comments. A null is equal to nothing.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pegel.errors import ContractError

Row = Mapping[str, Any]
Rows = Sequence[Row]

_TOKEN = re.compile(
    r"""\s*(?:(?P<comment>//[^\n]*)|(?P<text>"[^"\\\n]*"|'[^'\\\n]*')|(?P<number>\d+(?:\.\d+)?)"""
    r"""|(?P<name>[A-Za-z_]\w*)|(?P<sign>==|!=|[|(),*]))""",
    re.ASCII,
)
_COUNT = "count_"


class KqlError(ContractError):
    """A query uses what this subset does not know, or a column that is not there."""


@dataclass(frozen=True, slots=True)
class Query:
    """A compiled query: the table it reads and what it does to its rows."""

    table: str
    steps: tuple[Callable[[Rows], Rows], ...]
    columns: tuple[str, ...]

    def run(self, rows: Rows) -> Rows:
        """The rows that are left."""
        for step in self.steps:
            rows = step(rows)
        return rows


def compile_query(text: str, tables: Mapping[str, Sequence[str]]) -> Query:
    """Compile a query.

    Args:
        text: the query.
        tables: table -> its columns.

    Raises:
        KqlError: if it uses an operator, a table or a column that is not known.

    Example:
        >>> query = compile_query("T | summarize count() by a | where count_ == 2", {"T": ["a"]})
        >>> query.run([{"a": 1}, {"a": 2}, {"a": 1}])
        [{'a': 1, 'count_': 2}]
    """
    return _Parser(text, tables).query()


class _Parser:
    def __init__(self, text: str, tables: Mapping[str, Sequence[str]]) -> None:
        self._tokens = _tokens(text)
        self._tables = tables
        self._columns: tuple[str, ...] = ()

    def query(self) -> Query:
        table = self._name()
        if table not in self._tables:
            raise KqlError(f"there is no table {table!r}; known are {sorted(self._tables)}")
        self._columns = tuple(self._tables[table])
        operators = {"where": self._where, "summarize": self._summarize, "project": self._project}
        steps = []
        while self._tokens:
            self._expect("|")
            operator = self._name()
            if operator not in operators:
                raise KqlError(f"the operator {operator!r} is not known here; known are {sorted(operators)}")
            steps.append(operators[operator]())
        return Query(table, tuple(steps), self._columns)

    def _where(self) -> Callable[[Rows], Rows]:
        tests = [self._condition()]
        while self._peek() == ("name", "and"):
            self._next()
            tests.append(self._condition())
        return lambda rows: [row for row in rows if all(test(row) for test in tests)]

    def _condition(self) -> Callable[[Row], bool]:
        column = self._column()
        kind, sign = self._next()
        if (kind, sign) == ("name", "in"):
            self._expect("(")
            wanted = self._separated(self._literal)
            self._expect(")")
            return lambda row: row[column] is not None and row[column] in wanted
        if sign not in ("==", "!="):
            raise KqlError(f"the comparison {sign!r} is not known here; known are ==, != and in")
        value = self._literal()
        equal = sign == "=="
        return lambda row: row[column] is not None and (row[column] == value) is equal

    def _summarize(self) -> Callable[[Rows], Rows]:
        function = self._name()
        self._expect("(")
        if function == "count":
            self._expect(")")
            by = self._by()
            self._columns = (*by, _COUNT)
            return lambda rows: [dict(zip((*by, _COUNT), (*key, len(g)), strict=True)) for key, g in _groups(rows, by)]
        if function != "arg_max":
            raise KqlError(f"the aggregation {function!r} is not known here; known are arg_max(column, *) and count()")
        measure = self._column()
        for sign in (",", "*", ")"):
            self._expect(sign)
        by = self._by()
        return lambda rows: [max(group, key=lambda row: _nulls_first(row[measure])) for _, group in _groups(rows, by)]

    def _by(self) -> list[str]:
        if self._next() != ("name", "by"):
            raise KqlError("summarize needs 'by' and at least one column here")
        return self._separated(self._column)

    def _project(self) -> Callable[[Rows], Rows]:
        chosen = self._separated(self._column)
        self._columns = tuple(chosen)
        return lambda rows: [{name: row[name] for name in chosen} for row in rows]

    def _separated(self, read: Callable[[], Any]) -> list[Any]:
        found = [read()]
        while self._peek() == ("sign", ","):
            self._next()
            found.append(read())
        return found

    def _literal(self) -> Any:
        kind, text = self._next()
        if kind == "text":
            return text[1:-1]
        if kind == "number":
            return float(text) if "." in text else int(text)
        if text in ("true", "false"):
            return text == "true"
        raise KqlError(f"{text!r} is not a text, a number, true or false")

    def _column(self) -> str:
        name = self._name()
        if name not in self._columns:
            raise KqlError(f"there is no column {name!r} at this place; there are {list(self._columns)}")
        return name

    def _name(self) -> str:
        kind, text = self._next()
        if kind != "name":
            raise KqlError(f"a name is expected where {text!r} stands")
        return text

    def _expect(self, sign: str) -> None:
        if self._next() != ("sign", sign):
            raise KqlError(f"{sign!r} is missing; this subset knows where, summarize and project only")

    def _peek(self) -> tuple[str, str] | None:
        return self._tokens[0] if self._tokens else None

    def _next(self) -> tuple[str, str]:
        if not self._tokens:
            raise KqlError("the query ends too early")
        return self._tokens.pop(0)


def _tokens(text: str) -> list[tuple[str, str]]:
    found, position, text = [], 0, text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise KqlError(f"{text[position : position + 20].strip()!r} is not understood")
        if match.lastgroup != "comment":
            found.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return found


def _groups(rows: Rows, by: Sequence[str]) -> list[tuple[tuple[Any, ...], list[Row]]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in by), []).append(row)
    return list(groups.items())


def _nulls_first(value: Any) -> tuple[bool, Any]:
    return (False, 0) if value is None else (True, value)
