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
    split = f"size(filter(split({text}, '{_SPACES}'), word -> word <> ''))"
    # Most texts are ASCII with one space between two words, and counting spaces takes a fourth of the time.
    odd = f"{text} RLIKE '[^ -~]' OR contains({text}, '  ') OR startswith({text}, ' ') OR endswith({text}, ' ')"
    spaces = f"octet_length({text}) - octet_length(replace({text}, ' ', ''))"
    return f"CASE WHEN {odd} OR {text} = '' THEN {split} ELSE {spaces} + 1 END"


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


def position_of(value: str, column: GridColumn) -> str:
    """SQL for where a value lies, in cells from the grid's lower end: a double, null for null.

    Args:
        value: name of the SQL column that holds it.
        column: the grid's.
    """
    # Java's asinh loses digits below 0, and what is symmetric here must be so there.
    unit = f"(({value} - {_double(column.center)}) / {_double(column.scale)})"
    return f"(signum({unit}) * asinh(abs({unit})) + {grids.HALF_RANGE}D) * {grids.CELLS_PER_UNIT}D"


def cell_of(value: str, position: str) -> str:
    """SQL for the cell of a value, or its code.

    Args:
        value: name of the SQL column that holds it.
        position: that of :func:`position_of`; a column too, or the logarithm in it is taken several times.
    """
    return (
        f"CASE WHEN {value} IS NULL THEN {grids.MISSING} "
        f"WHEN isnan({value}) OR abs({value}) = double('Infinity') THEN {grids.NON_FINITE} "
        f"WHEN {position} < 0 THEN {grids.BELOW} WHEN {position} >= {grids.CELLS} THEN {grids.ABOVE} "
        f"ELSE CAST(floor({position}) AS INT) END"
    )


def on_grid(value: str, position: str) -> str:
    """SQL for whether a value has a cell; the arguments are those of :func:`cell_of`."""
    return f"{position} >= 0 AND {position} < {grids.CELLS} AND NOT isnan({value})"


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
