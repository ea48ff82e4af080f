"""Masking of the keys of maps, in the JVM. Pure: Column → Column.

The promises are those of :func:`pegel.schemas.masking.mask_keys`, which means the same. Nearly every event's keys are
names that hold nothing, and asking each key takes longer than asking all at once. So they are joined to one text first,
with so many spaces between them that whatever a search finds in a key it finds in the text, and hardly more. And the
rules are a hundred expressions that each micro-batch plans anew: so keys go through them beside other texts.
"""

from collections.abc import Collection, Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F  # noqa: N812

from pegel.schemas.masking import HINTS
from pegel.streaming.java_classes import spelt_out
from pegel.streaming.masking import APART, holds_sign
from pegel.streaming.profile.column_sql import quoted


def keys_may_match(maps: Sequence[str]) -> Column:
    """Whether one of the keys may have to be masked; never null.

    Args:
        maps: the columns of maps with texts as keys; a map may be null.
    """
    together = F.concat_ws(APART, *(F.map_keys(F.col(name)) for name in maps))
    return holds_sign(together) & together.rlike(spelt_out(HINTS))


def with_keys(texts: Column, maps: Sequence[str], may_match: Column) -> Column:
    """An array of texts, and after them the keys of the maps, where one of these may have to be masked.

    Args:
        texts: a column of an array.
        maps: as above.
        may_match: a column of :func:`keys_may_match`.
    """
    no_keys = F.array().cast("array<string>")
    keys = (F.coalesce(F.map_keys(F.col(name)), no_keys) for name in maps)
    return F.when(may_match, F.concat(texts, *keys)).otherwise(texts)


def renamed(maps: Sequence[str], place: int, texts: str, count: int, named: Collection[str]) -> Column:
    """One of the maps of :func:`with_keys` under its masked keys.

    Args:
        maps: their columns.
        place: which of them.
        texts: the column of the array, masked; null where nothing was to be masked.
        count: how many texts it has besides keys.
        named: keys that stay as they are.
    """
    column = maps[place]
    sizes = [f"greatest(coalesce(size({name}), 0), 0)" for name in maps[: place + 1]]
    keys = f"slice({texts}, {' + '.join([str(count + 1), *sizes[:-1]])}, {sizes[-1]})"
    key = "keys[i]"
    if named:
        key = f"if(e.key IN ({', '.join(map(quoted, named))}), e.key, {key})"
    entry = f"named_struct('name', {key}, 'key', e.key, 'value', e.value)"
    by_name = f"sort_array(transform(map_entries({column}), (e, i) -> {entry}))"
    name = "if(get(some, i - 1).name = e.name, concat(e.name, '#', i + 1), e.name)"
    numbered = f"sort_array(transform(some, (e, i) -> named_struct('name', {name}, 'place', i, 'value', e.value)))"
    # A number may make a name that somebody wrote; Spark ends a query in which a key comes twice.
    once = "filter(some, (e, i) -> NOT (get(some, i - 1).name <=> e.name))"
    whole = f"map_from_entries(transform({once}, e -> struct(e.name, e.value)))"
    made = f"transform(transform(array({by_name}), some -> {numbered}), some -> {whole})[0]"
    anew = f"transform(array({keys}), keys -> CASE WHEN keys = map_keys({column}) THEN {column} ELSE {made} END)[0]"
    return F.expr(
        f"CASE WHEN {column} IS NULL OR {texts} IS NULL OR size({texts}) = {count} THEN {column} ELSE {anew} END"
    )
