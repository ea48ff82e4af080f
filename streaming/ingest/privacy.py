"""What is stored of each text of an event: masked, hashed, dropped or kept. Pure: names → columns, in the JVM.

The key of the keyed hashes is never a value in a plan, where the pages of Spark, its event log and every error would
show it. Spark's ``java_method`` reads it in the JVM that hashes, from that JVM's own environment; the plan names the
variable. The hash itself is commons-codec's, which every Spark brings.
"""

from collections.abc import Iterable, Mapping
from functools import reduce
from operator import or_

from pyspark.sql import Column
from pyspark.sql import functions as F  # noqa: N812

from pegel.conf.masking_settings import CONTENT, IDENTIFIERS, MAPS, TEXTS, FieldAction, MaskingSettings
from pegel.errors import SettingsError
from pegel.streaming.masked_keys import keys_may_match, renamed, with_keys
from pegel.streaming.masking import (
    APART,
    by_rules,
    holds_sign,
    identifier_by_rules,
    identifier_may_match,
    masked,
    may_match,
)
from pegel.streaming.profile.column_sql import words_of

MIN_KEY_CHARACTERS = 32

_COLUMN = {"error.type": "error_type", "model_name": "model", "model_version": "version"} | {
    "gen_ai.request.model": "request_model"
}
"""Fields whose column has another name."""


def check_key(settings: MaskingSettings) -> None:
    """Refuse to start without the key, if anything is hashed.

    Raises:
        SettingsError: if it is missing here or too short to be one.
    """
    if settings.needs_key and len(settings.key.read()) < MIN_KEY_CHARACTERS:
        raise SettingsError(
            f"the masking key in the environment variable {settings.key.env} has fewer than {MIN_KEY_CHARACTERS} "
            "characters, so hashes could be undone by trying keys; make one with `openssl rand -hex 32`"
        )


def privacy_steps(settings: MaskingSettings) -> list[Mapping[str, Column]]:
    """The columns that replace those of the parsed frame, step by step; a column stands once in a step.

    Columns whose name begins with :data:`BETWEEN` are needed between the steps only.
    """
    hidden = {name: settings.action(name) for name in CONTENT if settings.action(name) in _ENDS}
    # The lengths are those of the masked text, whatever is stored in the end: so they do not change with the setting.
    actions = {name: "mask" if name in hidden else settings.action(name) for name in (*TEXTS, *IDENTIFIERS)}
    texts, ids = ([name for name in names if actions[name] == "mask"] for names in (TEXTS, IDENTIFIERS))
    others = {name: action for name, action in actions.items() if action != "mask"}
    columns = {_COLUMN.get(name, name): _text(name, action, settings) for name, action in others.items()}
    if settings.keeps_bodies:
        texts.append("body")
    else:
        columns["body"] = F.lit(None).cast("string")
    # Most texts hold nothing, which compiled code finds out; the rules are interpreted, and slow to begin with.
    asked = [*((one, may_match) for one in texts), *((one, identifier_may_match) for one in ids)]
    columns_of = {one: _COLUMN.get(one, one) for one, _ in asked}
    may = {_may(one): F.coalesce(is_asked(F.col(columns_of[one])), F.lit(False)) for one, is_asked in asked}
    may[_KEYS] = keys_may_match(_MAPS)
    # The rules are a hundred expressions, and each micro-batch plans them anew: so they stand there once for all texts.
    wanted = {one: F.when(F.col(_may(one)), F.col(column)) for one, column in columns_of.items()}
    texts_and_keys = with_keys(F.array(*(wanted[one] for one in texts)).cast("array<string>"), _MAPS, F.col(_KEYS))
    together = {TOGETHER[0]: F.when(_any([_KEYS, *map(_may, texts)]), F.transform(texts_and_keys, by_rules))}
    if ids:
        masked_ids = F.transform(F.array(*(wanted[one] for one in ids)), identifier_by_rules)
        together[TOGETHER[1]] = F.when(_any(map(_may, ids)), masked_ids)
    apart = {
        columns_of[one]: F.when(F.col(_may(one)), F.col(name).getItem(place)).otherwise(F.col(columns_of[one]))
        for name, names in zip(TOGETHER, (texts, ids), strict=True)
        for place, one in enumerate(names)
    }
    named = [key for name in MAPS for key in settings.named_in(name)]
    apart |= {one: renamed(_MAPS, place, TOGETHER[0], len(texts), named) for place, one in enumerate(_MAPS)}
    rest = {f"{name}_{unit}": _length(name, unit, counted=name in hidden) for name in _COUNTED for unit in _UNITS}
    rest |= {name: _map(name, settings) for name in MAPS}
    steps: list[Mapping[str, Column]] = [columns, may, together, apart, rest]
    return [*steps, {name: _text(name, action, settings) for name, action in hidden.items()}] if hidden else steps


BETWEEN = "privacy_"
TOGETHER = (f"{BETWEEN}texts", f"{BETWEEN}ids")
_KEYS = f"{BETWEEN}keys"
_MAPS = (*MAPS, "probabilities")
_ENDS = ("drop", "keyed_hash")
_COUNTED = ("input", "output")
_UNITS = ("characters", "words")


def _length(name: str, unit: str, *, counted: bool) -> Column:
    """Null where the text is stored: whoever needs it can count then, and counting words takes as long as masking."""
    if not counted:
        return F.lit(None).cast("int")
    return F.expr(words_of(name)) if unit == "words" else F.char_length(F.col(name))


def _may(name: str) -> str:
    """The column that says whether the field may hold something to be masked."""
    return f"{BETWEEN}{_COLUMN.get(name, name)}"


def _any(names: Iterable[str]) -> Column:
    return reduce(or_, map(F.col, names))


def _text(name: str, action: FieldAction, settings: MaskingSettings) -> Column:
    return _done(F.col(_COLUMN.get(name, name)), action, settings)


def _map(name: str, settings: MaskingSettings) -> Column:
    named = settings.named_in(name)
    dropped = [key for key, action in named.items() if action == "drop"]
    others = {key: action for key, action in named.items() if action != "drop"}
    rest = settings.action(f"{name}.*")

    def value_of(key: Column, value: Column) -> Column:
        ways = ((F.when(key == F.lit(k), _done(value, action, settings))) for k, action in others.items())
        plain = _done(value, rest, settings)
        return F.coalesce(*ways, plain) if others else plain

    column = F.col(name)
    if dropped:
        column = F.map_filter(column, lambda key, _: ~key.isin(dropped))
    whole = F.transform_values(column, value_of)
    if named or rest != "mask":
        return whole
    # Nearly all values hold nothing either.
    return F.when(holds_sign(F.array_join(F.map_values(column), APART)), whole).otherwise(column)


def _done(value: Column, action: FieldAction, settings: MaskingSettings) -> Column:
    if action == "keep":
        return value
    if action == "drop":
        return F.lit(None).cast("string")
    return masked(value) if action == "mask" else keyed_hash(value, str(settings.key.env))


def keyed_hash(value: Column, key_variable: str) -> Column:
    """HMAC-SHA256 of a text in UTF-8, as 64 hexadecimal digits; null stays null.

    Args:
        value: a string column.
        key_variable: the environment variable that holds the key on every machine that hashes.
    """
    missing = F.raise_error(
        f"the environment variable {key_variable} with the masking key is missing on a machine of the cluster; set it "
        "on all of them and start the job again"
    )
    key = F.coalesce(_java("java.lang.System", "getenv", F.lit(key_variable)), missing)
    digest = _java("org.apache.commons.codec.digest.HmacUtils", "hmacSha256Hex", key, value)
    return F.when(value.isNotNull(), digest)


def _java(class_name: str, method: str, *arguments: Column) -> Column:
    return F.java_method(F.lit(class_name), F.lit(method), *arguments)
