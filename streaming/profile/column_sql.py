"""The value of a watched column, its cell and its q, as SQL text. Pure.

The same as ``schemas.grids.cell_of`` and ``streaming.statistics.counting`` say, to the last unit.
"""

from pegel.errors import ContractError
from pegel.schemas import grids
from pegel.schemas.grids import GridColumn

_FEATURE = "features."
# Python's str.split() cuts at these; Java's own \s knows a few less.
_SPACES = r"(?U)[\\s\\x1c-\\x1f]+"


def words_of(text: str) -> str:
    """SQL for how many words the SQL column of this name holds; null for null."""
    return f"size(filter(split({text}, '{_SPACES}'), word -> word <> ''))"


_NUMBERS = {
    "input_length": "coalesce(input_characters, char_length(input))",
    "input_words": f"coalesce(input_words, {words_of('input')})",
    "confidence": "array_max(map_values(probabilities))",
    "latency_ms": "latency_ms",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
}
_NAMES = {"output": "output"}


def quoted(text: str) -> str:
    r"""A text as a literal of Spark SQL, whatever is in it.

    Example:
        >>> print(quoted("it's a \\"))
        'it\'s a \\'
    """
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def value_of(column: GridColumn) -> str:
    """SQL for the value over the columns of ``predictions``: a double, or a text for a categorical column.

    Raises:
        ContractError: if the column's source is none that an event has.
    """
    numeric = column.kind == grids.NUMERIC
    known = _NUMBERS if numeric else _NAMES
    if column.source.startswith(_FEATURE):
        text = f"features[{quoted(column.source.removeprefix(_FEATURE))}]"
        return f"try_cast({text} AS DOUBLE)" if numeric else text
    if column.source not in known:
        msg = (
            f"the grid's column {column.name!r} is {column.kind} and has the source {column.source!r}; "
            f"use features.NAME or one of {sorted(known)}"
        )
        raise ContractError(msg)
    return f"CAST({known[column.source]} AS DOUBLE)" if numeric else known[column.source]


def cell_of(value: str, column: GridColumn) -> str:
    """SQL for the cell of a value, or its code.

    Args:
        value: name of the SQL column that holds it.
        column: the grid's.
    """
    # Java's asinh loses digits below 0, and what is symmetric here must be so there.
    unit = f"(({value} - {_double(column.center)}) / {_double(column.scale)})"
    y = f"((signum({unit}) * asinh(abs({unit})) + {grids.HALF_RANGE}D) * {grids.CELLS_PER_UNIT}D)"
    return (
        f"CASE WHEN {value} IS NULL THEN {grids.MISSING} "
        f"WHEN isnan({value}) OR abs({value}) = double('Infinity') THEN {grids.NON_FINITE} "
        f"WHEN {y} < 0 THEN {grids.BELOW} WHEN {y} >= {grids.CELLS} THEN {grids.ABOVE} "
        f"ELSE CAST(floor({y}) AS INT) END"
    )


def q_of(value: str, column: GridColumn) -> str:
    """SQL for q of a value that lies inside the grid: the nearest whole number, halves up."""
    scaled = f"{grids.Q_SCALE}D * ({value} - {_double(column.center)}) / {_double(column.scale)}"
    return f"CAST(floor({scaled} + 0.5D) AS BIGINT)"


def name_of(value: str, column: GridColumn) -> str:
    """SQL for the name that a category is counted under."""
    known = f"char_length({value}) <= {grids.MAX_NAME_CHARACTERS}"
    if column.categories:
        known = f"{value} IN ({', '.join(quoted(name) for name in (*column.categories, grids.MISSING_NAME))})"
    return (
        f"CASE WHEN {value} IS NULL THEN '{grids.MISSING_NAME}' WHEN {known} THEN {value} ELSE '{grids.OTHER_NAME}' END"
    )


def _double(number: float) -> str:
    return f"({number!r}D)"
