"""Make and register a version of any kind of model, with its own grid and baseline before it can serve. Edge.

The order is the promise: the version exists (tag ``pending``), then its grid and baseline are in the tables, then its
tags name them; only after that may anyone validate it and move an alias. Every step can be repeated after a crash.
"""

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pegel.errors import SettingsError
from pegel.lifecycle.adapter import ModelAdapter, adapter_of
from pegel.lifecycle.baseline import (
    choose_grid,
    known_grids,
    make_baseline,
    measure_latencies_ms,
    store,
    stored_baseline,
    watched_values,
)
from pegel.lifecycle.card_facts import log_card
from pegel.lifecycle.clean_load import check_loads_in_clean_process
from pegel.lifecycle.fairness.record import log_evaluation
from pegel.lifecycle.first_version import FirstVersion, judge_first, let_serve, refuse
from pegel.lifecycle.labelled_text import LabelledText, texts_of
from pegel.lifecycle.loaded_model import LoadedModel
from pegel.lifecycle.registry import Registry
from pegel.schemas import model_io
from pegel.schemas.model_io import Answer
from pegel.tables.audit import AuditTrail
from pegel.tables.delta import DeltaTables

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """A version that is registered and has its baseline."""

    model: str
    version: str
    grid: str
    baseline_id: str
    loaded: LoadedModel
    validation: tuple[Answer, ...]
    """Its answers to the validation rows, in order."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a version comes from.

    Attributes:
        source: which data its baseline is of, in words.
        training: the tag ``pegel.training``: which rows it was trained on, as JSON.
        retraining: the tag ``pegel.retraining``: a version that carries it already is taken up, not made again.
    """

    source: str
    training: str
    retraining: str = ""


def register(
    registry: Registry,
    tables: DeltaTables,
    rows: Sequence[LabelledText],
    validation: Sequence[LabelledText],
    origin: Origin,
    *,
    adapter: ModelAdapter | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> RegisteredVersion:
    """Train on ``rows``, register, and store the baseline: the version's own answers to ``validation``.

    Args:
        registry: of the model.
        tables: where ``grids`` and ``baselines`` lie.
        rows: training rows.
        validation: rows that it was not trained on, in the mix in which live traffic comes.
        origin: which rows these are.
        adapter: makes the version; without it the one for ``model.kind``.
        now: the clock, for ``created_at`` alone.

    Raises:
        SettingsError: if there are no validation rows, or the training rows cannot be learned from.
        OutsideError: if MLflow, the storage or the service behind the model fails; call again, and what is done is
            not done twice.
    """
    if not validation:
        msg = "a version needs validation rows: its baseline is made of its answers to them"
        raise SettingsError(msg)
    adapter = adapter or adapter_of(registry.settings)
    version = registry.version_tagged(model_io.TAG_RETRAINING, origin.retraining) if origin.retraining else None
    if version is None:
        version = _make(registry, adapter, rows, origin)
    loaded = registry.load(version)
    texts = texts_of(validation)
    answers = loaded.answer(texts)
    found = stored_baseline(tables, registry.model, version)
    if found is None:
        watched = adapter.watched(answers)
        values = watched_values(watched, texts, answers, measure_latencies_ms(loaded, texts))
        grid = choose_grid(known_grids(tables, registry.model), registry.model, watched, values)
        right = [answer.output == row.label for answer, row in zip(answers, validation, strict=True)]
        failed = [answer.failure is not None for answer in answers]
        baseline = make_baseline(registry.model, version, grid, values, right, failed=failed)
        store(tables, baseline, source=origin.source, now=now())
        found = baseline.baseline_id, grid.grid
    registry.set_tags(version, {model_io.TAG_BASELINE: found[0], model_io.TAG_GRID: found[1]})
    return RegisteredVersion(registry.model, version, found[1], found[0], loaded, tuple(answers))


def register_first(
    registry: Registry,
    tables: DeltaTables,
    rows: Sequence[LabelledText],
    validation: Sequence[LabelledText],
    *,
    source: str,
    alias_champion: bool,
    adapter: ModelAdapter | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    trail: AuditTrail | None = None,
) -> RegisteredVersion:
    """Register a version that no incident asked for, validate it and, if asked, let it serve; then write its card.

    Args:
        registry: of the model.
        tables: where ``grids``, ``baselines`` and ``promotions`` lie.
        rows: training rows.
        validation: rows that it was not trained on; if they have the segments of ``fairness.attributes``, it is judged
            by them.
        source: which data this is, in words.
        alias_champion: whether it becomes the champion.
        adapter: makes the version; without it the one for ``model.kind``.
        now: the clock.
        trail: where it is recorded that it serves, or may not.

    Raises:
        FirstVersionRefusedError: if it wrongs a group; it is registered and stays ``pending``.
        VersionRefusedError: if it does not load in a clean process.
        PegelError: see :func:`register` and :func:`~pegel.lifecycle.promotion.promote`.
    """
    registry.prepare_store()
    origin = Origin(source, json.dumps({"batch_id_max": None, "rows": len(rows), "source": source}))
    made = register(registry, tables, rows, validation, origin, adapter=adapter, now=now)
    right = sum(answer.output == row.label for answer, row in zip(made.validation, validation, strict=True))
    fairness, evaluation = judge_first(rows, validation, made.validation, registry.settings.fairness, now())
    log.info("version %s is right in %d of %d validation rows; %s", made.version, right, len(validation), fairness)
    counted = {"training_rows": len(rows), "validation_rows": len(validation), "right": right, "source": source}
    first = FirstVersion(made.version, fairness, {"baseline_id": made.baseline_id, **counted})
    if evaluation is not None:
        log_evaluation(registry, made.version, evaluation)
        if evaluation.verdict.refused:
            log_card(registry, tables, made.version, now())
            refuse(registry, first, trail if alias_champion else None)
    check_loads_in_clean_process(registry, made.version, validation[0].text)
    registry.set_tags(made.version, {model_io.TAG_VALIDATION: model_io.VALIDATION_PASSED})
    if alias_champion:
        let_serve(registry, tables, first, trail=trail, now=now)
    log_card(registry, tables, made.version, now())
    return made


def _make(registry: Registry, adapter: ModelAdapter, rows: Sequence[LabelledText], origin: Origin) -> str:
    begin = time.perf_counter()
    uri = adapter.make(rows, experiment_id=registry.prepare_store(), run_name=origin.retraining or "build-baseline")
    tags = {
        model_io.TAG_VALIDATION: model_io.VALIDATION_PENDING,
        model_io.TAG_TRAINING: origin.training,
        **({model_io.TAG_RETRAINING: origin.retraining} if origin.retraining else {}),
    }
    version = registry.register(uri, tags)
    log.info(
        "version %s of %r: made from %d rows and registered in %.1f s",
        version, registry.model, len(rows), time.perf_counter() - begin,
    )  # fmt: skip
    return version
