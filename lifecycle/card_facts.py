"""Gathering what a model card says, and keeping the card in the run of its version. Edge."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from pegel import __version__
from pegel.conf.usage_section import read_usage
from pegel.errors import OutsideError
from pegel.lifecycle.model_card import Ancestor, CardFacts, Monitoring, Move, Step, card_file, render
from pegel.lifecycle.promotion import moves_of
from pegel.lifecycle.proof import MIN_COMPLETENESS, mean_accuracy, read_windows
from pegel.lifecycle.registry import Registry, asking
from pegel.schemas.model_io import TAG_BASELINE, TAG_GRID, TAG_RETRAINING, TAG_TRAINING, TAG_VALIDATION
from pegel.schemas.partials import ALL
from pegel.tables.delta import DeltaTables, Row

_SAID_ELSEWHERE = (TAG_TRAINING, TAG_VALIDATION, TAG_RETRAINING)
_FAIRNESS = "fairness/"

MAX_ANCESTORS = 20


def gather(registry: Registry, tables: DeltaTables, version: str, now: datetime) -> CardFacts:
    """Read what is known of a version in registry, run, tables and usage policy.

    Raises:
        SettingsError: if the policy of the settings says something that serving would refuse too.
        OutsideError: if the version does not exist, or MLflow or the storage fails.
    """
    with asking(f"version {version} of {registry.model!r}"):
        found = registry.client.get_model_version(registry.model, version)
        run = registry.client.get_run(found.run_id)
    tags = dict(found.tags)
    retraining = tags.get(TAG_RETRAINING, "")
    retrainings = tables.read("retrainings")
    return CardFacts(
        model=registry.model,
        version=version,
        at=now,
        created_at=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
        run_id=found.run_id,
        code_version=__version__,
        validation=tags.get(TAG_VALIDATION, ""),
        aliases=sorted(found.aliases),
        tags={name: value for name, value in tags.items() if name not in _SAID_ELSEWHERE},
        params=dict(run.data.params),
        training=_training(tags.get(TAG_TRAINING, "")),
        baseline=_baseline(tables, tags),
        retraining=retraining,
        ancestors=_ancestors(registry, retrainings, retraining),
        moves=_moves(tables, registry.model, version),
        steps=_steps(retrainings, retraining),
        fairness={
            name.removeprefix(_FAIRNESS): value
            for name, value in run.data.metrics.items()
            if name.startswith(_FAIRNESS)
        },
        usage=read_usage(registry.settings.serving.policy).policy,
        monitoring=_monitoring(registry, tables, version),
    )


def log_card(registry: Registry, tables: DeltaTables, version: str, now: datetime) -> str:
    """Make the card of a version and keep it as ``model_card_<version>.md`` in its run; an older one is replaced.

    Returns:
        the card.

    Raises:
        SettingsError: see :func:`gather`.
        OutsideError: see :func:`gather`.
    """
    facts = gather(registry, tables, version, now)
    card = render(facts)
    with asking(f"the model card of version {version} of {registry.model!r}"):
        registry.client.log_text(facts.run_id, card, card_file(version))
    return card


def _training(tag: str) -> Mapping[str, object]:
    try:
        found = json.loads(tag)
    except ValueError:
        return {"source": tag} if tag else {}
    return found if isinstance(found, dict) else {"source": tag}


def _baseline(tables: DeltaTables, tags: Mapping[str, str]) -> str | None:
    wanted = tags.get(TAG_BASELINE)
    if wanted is None:
        return None
    rows = tables.read("baselines", "SELECT baseline_id, source FROM t")
    source = next((row["source"] for row in rows if row["baseline_id"] == wanted), "")
    return f"{wanted} on grid {tags.get(TAG_GRID, '')}: {source}"


def _ancestors(registry: Registry, retrainings: Sequence[Row], retraining: str) -> list[Ancestor]:
    found: list[Ancestor] = []
    while len(found) < MAX_ANCESTORS:
        parent = next((step.champion for step in _steps(retrainings, retraining) if step.champion), None)
        if parent is None or parent in {ancestor.version for ancestor in found}:
            break
        try:
            tags = registry.tags(parent)
        except OutsideError:
            # Somebody has deleted it; its rows live on in the younger one.
            found.append(Ancestor(parent, "", "it could not be found in the registry"))
            break
        retraining = tags.get(TAG_RETRAINING, "")
        made_for = f"retraining {retraining}" if retraining else "no incident"
        found.append(Ancestor(parent, made_for, tags.get(TAG_TRAINING, "")))
    return found


def _moves(tables: DeltaTables, model: str, version: str) -> list[Move]:
    return [
        Move(row["at"], row["new_version"] == version, row["by"], row["reason"])
        for row in moves_of(tables, model)
        if version in {row["new_version"], row["expected_version"]}
    ]


def _steps(retrainings: Sequence[Row], retraining: str) -> list[Step]:
    rows = [row for row in retrainings if f"{row['incident_id']}:{row['attempt']}" == retraining]
    return [
        Step(
            row["state"], row["at"], row["champion"], row["champion_quality"], row["challenger_quality"],
            row["detail"] or "",
        )
        for row in sorted(rows, key=lambda row: row["at"])
    ]  # fmt: skip


def _monitoring(registry: Registry, tables: DeltaTables, version: str) -> Monitoring:
    windows = read_windows(tables, registry.model, version, registry.settings.ingest.window_seconds)
    blocks = _of(registry, version, tables.read("blocks", _BLOCKS))
    alerts = _of(registry, version, tables.read("alerts", "SELECT model, version, state FROM t"))
    ends = [row["last_enqueued"] for row in blocks]
    verdicts = [verdict for row in blocks for verdict in row["verdicts"]]
    return Monitoring(
        windows=sum(window.completeness >= MIN_COMPLETENESS and window.labelled > 0 for window in windows),
        accuracy=mean_accuracy(windows),
        blocks=len(blocks),
        events=sum(row["n"] for row in blocks),
        ringing=Counter(verdict["column"] for verdict in verdicts if verdict["rang"]),
        calibrated=any(verdict["calibrated"] for verdict in verdicts),
        alerts=Counter(row["state"] for row in alerts),
        first=min(ends, default=None),
        last=max(ends, default=None),
    )


_BLOCKS = f"SELECT model, version, n, last_enqueued, verdicts FROM t WHERE segment = '{ALL}'"


def _of(registry: Registry, version: str, rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if (row["model"], row["version"]) == (registry.model, version)]
