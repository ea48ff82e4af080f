"""Where settings come from. Edge.

Defaults < ``--config FILE`` < ``PEGEL__SECTION__KEY`` < ``--set section.key=value``.
"""

import difflib
import os
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from pegel.conf.settings import Settings
from pegel.errors import SettingsError

_ENV_PREFIX = "PEGEL__"


def load_settings(
    config: str | None, overrides: Iterable[str] = (), environ: Mapping[str, str] | None = None
) -> Settings:
    """Read, merge and check the settings.

    Args:
        config: a YAML file, or the name of one that ships with Pegel (``local.yml``, ``conf/local.yml``).
        overrides: ``section.key=value`` each; the value is YAML, so ``[a, b]`` and ``3`` keep their types.
        environ: the environment; ``PEGEL__STORAGE__ROOT=…`` sets ``storage.root``.

    Raises:
        SettingsError: if a file is missing, a key unknown (the nearest valid one is named) or a value refused.
    """
    merged: dict[str, Any] = {}
    if config:
        merged = _read_yaml(config)
    for name, value in sorted((os.environ if environ is None else environ).items()):
        if name.startswith(_ENV_PREFIX):
            _set(merged, name.removeprefix(_ENV_PREFIX).lower().split("__"), value, name)
    for override in overrides:
        key, sign, value = override.partition("=")
        if not sign:
            msg = f"--set {override!r} has no '='; write --set section.key=value"
            raise SettingsError(msg)
        _set(merged, key.split("."), value, f"--set {key}")
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingsError(_explain(error, config)) from error


def packaged(name: str) -> str:
    """The text of a file that ships with Pegel in ``conf/``."""
    return resources.files("pegel.conf").joinpath(name).read_text(encoding="utf-8")


def read_text(path: str) -> str:
    """The text of a file, or of the one of that name which ships with Pegel.

    Raises:
        SettingsError: if neither is there.
    """
    file = Path(path)
    if file.is_file():
        return file.read_text(encoding="utf-8")
    try:
        return packaged(file.name)
    except (FileNotFoundError, IsADirectoryError):
        msg = f"there is no file {path!r}, and none of that name ships with Pegel; check --config or watch.policy"
        raise SettingsError(msg) from None


def _read_yaml(path: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(read_text(path)) or {}
    except yaml.YAMLError as error:
        msg = f"{path} is not valid YAML: {error}"
        raise SettingsError(msg) from error
    if not isinstance(content, dict):
        msg = f"{path} must hold sections such as 'storage:' at its top, not a {type(content).__name__}"
        raise SettingsError(msg)
    return content


def _set(target: dict[str, Any], path: list[str], text: str, where: str) -> None:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        msg = f"{where}: {text!r} is not valid YAML"
        raise SettingsError(msg) from error
    # Spark's own names hold dots, `spark.` included: they are one key of the section `spark`.
    steps = ["spark", ".".join(path)] if path[0] == "spark" else path
    section = target
    for step in steps[:-1]:
        deeper = section.setdefault(step, {})
        if not isinstance(deeper, dict):
            msg = f"{where}: {step!r} is a value, not a section"
            raise SettingsError(msg)
        section = deeper
    section[steps[-1]] = str(value) if steps[0] == "spark" else value


def _explain(error: ValidationError, config: str | None) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "settings"
    where = f" (from {config} and what overrides it)" if config else ""
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(first["loc"][-1]), _valid_names(first["loc"][:-1]), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"there is no setting {key!r}{where}{hint}"
    return f"the setting {key!r}{where} is refused: {first['msg'].removeprefix('Value error, ')}"


def _valid_names(path: tuple[int | str, ...]) -> list[str]:
    model: Any = Settings
    for step in path:
        field = model.model_fields.get(str(step)) if isinstance(model, type) and issubclass(model, BaseModel) else None
        if field is None:
            return []
        model = field.annotation
    return list(getattr(model, "model_fields", {}))
