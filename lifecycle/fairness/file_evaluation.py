"""A file of decisions by group, before and after mitigation. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pegel.conf.fairness_settings import FairnessSettings
from pegel.errors import SettingsError
from pegel.lifecycle.fairness.group_metrics import Bools, MetricByGroup, measure
from pegel.lifecycle.fairness.groups import Group, Grouping, group_rows
from pegel.lifecycle.fairness.methods import AFTER, BEFORE, Constraint, Method
from pegel.lifecycle.fairness.mitigation import Decisions, mitigate
from pegel.lifecycle.fairness.rows_file import DecidedRows, rest

Models = dict[str, tuple[MetricByGroup, ...]]


@dataclass(frozen=True, slots=True)
class Trial:
    """How to mitigate, and on which share of the rows to try it."""

    method: Method
    constraint: Constraint
    held_out_share: float
    seed: int


@dataclass(frozen=True, slots=True)
class Tried:
    """What a trial found.

    Attributes:
        models: before, for the gradient without constraint too, and after; all on the held-out rows.
        trial: how it was tried.
        rows: how many rows were held out.
        kept: groups that could not be fitted to and keep their decisions.
    """

    models: Models
    trial: Trial
    rows: int
    kept: tuple[Group, ...]

    @property
    def price(self) -> str:
        """What mitigation costs in accuracy, as a sentence."""
        before, after = (self.models[name][0].overall.value or 0.0 for name in (BEFORE, AFTER))
        verb = "costs" if after <= before else "gains"
        return (
            f"mitigation by {self.trial.method} {verb} {100 * abs(before - after):.2f} points of accuracy on "
            f"{self.rows} held-out rows: {before:.2%} before, {after:.2%} after"
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What was tried, for the record."""
        groups = [list(group) for group in self.kept]
        return {
            **asdict(self.trial),
            "held_out_rows": self.rows,
            "groups_that_keep_their_decisions": groups,
            "price": self.price,
        }


def evaluate_file(rows: DecidedRows, positive_labels: tuple[str, ...], settings: FairnessSettings) -> Models:
    """The metrics of all rows, by every attribute and pair of attributes; the one model is called ``before``."""
    return _measure(
        rows.labels,
        {BEFORE: rows.outputs},
        group_rows(rows.groups, settings.max_groups),
        positive_labels,
        settings.min_group_rows,
    )


def try_mitigation(rows: DecidedRows, positive: str, trial: Trial, settings: FairnessSettings) -> Tried:
    """Mitigate by the first attribute, and measure by all on the held-out rows.

    Args:
        rows: of the file.
        positive: the positive label; all others count as the rest.
        trial: how.
        settings: the cap of groups, and how many rows a group needs.

    Raises:
        SettingsError: if there is no row of one of both sides, or fewer than two groups can be fitted to.
    """
    groupings = group_rows(rows.groups, settings.max_groups)
    truth = np.array([label == positive for label in rows.labels], dtype=bool)
    said = np.array([output == positive for output in rows.outputs], dtype=bool)
    if not truth.any() or truth.all():
        msg = f"mitigation needs rows with and without the label {positive!r}; see which label --positive should name"
        raise SettingsError(msg)
    scores = said.astype(np.float64) if rows.scores is None else rows.scores
    found = mitigate(
        Decisions(truth, said, scores, groupings[0], rows.features),
        trial.method,
        trial.constraint,
        held_out_share=trial.held_out_share,
        seed=trial.seed,
        min_group_rows=settings.min_group_rows,
    )
    models = _measure(
        _named(truth[found.held_out], positive),
        {name: _named(decided, positive) for name, decided in found.decided.items()},
        tuple(grouping.take(found.held_out) for grouping in groupings),
        (positive,),
        settings.min_group_rows,
    )
    return Tried(models, trial, len(found.held_out), found.kept)


def by_first_attribute(models: Models) -> Models:
    """The metrics by the attribute that mitigation works on."""
    return {
        name: tuple(one for one in found if one.attributes == found[0].attributes) for name, found in models.items()
    }


def _measure(
    labels: list[str],
    outputs: Mapping[str, list[str]],
    groupings: tuple[Grouping, ...],
    positive_labels: tuple[str, ...],
    min_group_rows: int,
) -> Models:
    return {
        name: measure(labels, said, groupings, positive_labels=positive_labels, min_group_rows=min_group_rows)
        for name, said in outputs.items()
    }


def _named(positive: Bools, label: str) -> list[str]:
    return [label if one else rest(label) for one in positive]
