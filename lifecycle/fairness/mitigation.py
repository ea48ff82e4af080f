"""Mitigation of a binary decision, tried on rows that it was not fitted to. Pure: Fairlearn and scikit-learn, no I/O.

Two ways, both of which see the group when they decide (whether that is lawful is not for a program to say):

- **Thresholds** (Hardt, Price and Srebro 2016): the scores stay, each group gets thresholds of its own, drawn between
  two where one alone cannot meet the constraint.
- **Gradient** (Agarwal et al. 2018): a logistic regression on the score, the features and the group is trained anew
  under the constraint, by exponentiated gradient; it decides by drawing one of the classifiers found on the way.

Both draw, so two people of one group and score may be decided differently; with the same seed the same rows come out
alike. Groups that are too small to fit to, or have one label only, keep the decision that they had, and are named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pegel.errors import SettingsError
from pegel.lifecycle.fairness.group_metrics import Bools
from pegel.lifecycle.fairness.groups import Group, Grouping, attribute_text
from pegel.lifecycle.fairness.methods import AFTER, BEFORE, UNCONSTRAINED, Constraint, Method

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

DIFFERENCE_BOUND = 0.01
"""How far rates may lie apart on the training rows of the gradient. Convention, not derived."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """Binary decisions about rows; all arrays have one entry a row.

    Attributes:
        truth: whether the label is positive.
        decided: whether the model said so.
        scores: what it decided by, the higher the more positive; ``decided`` itself where there is no score.
        grouping: the groups that should be treated alike.
        features: name -> numbers or texts, for the gradient alone.
    """

    truth: Bools
    decided: Bools
    scores: Floats
    grouping: Grouping
    features: Mapping[str, Sequence[float | None] | Sequence[str | None]]


@dataclass(frozen=True, slots=True)
class Mitigated:
    """What mitigation does to rows that it was not fitted to.

    Attributes:
        method: which.
        held_out: indices of these rows, in order; shape ``(n_held_out,)``.
        decided: the decisions about them: :data:`BEFORE`, for the gradient :data:`UNCONSTRAINED`, then :data:`AFTER`.
        kept: groups that keep their decision of before.
    """

    method: Method
    held_out: Rows
    decided: dict[str, Bools]
    kept: tuple[Group, ...]


def mitigate(
    decisions: Decisions,
    method: Method,
    constraint: Constraint,
    *,
    held_out_share: float,
    seed: int,
    min_group_rows: int,
) -> Mitigated:
    """Fit on one part of the rows, decide about the other.

    Args:
        decisions: the rows.
        method: how.
        constraint: what should be alike.
        held_out_share: above 0, below 1; the split keeps the share of positive labels.
        seed: of the split and of what is drawn; the same gives the same.
        min_group_rows: a group with fewer rows to fit to keeps its decisions.

    Raises:
        SettingsError: if the labels cannot be split, or fewer than two groups can be fitted to.
    """
    training, held_out = _split(decisions.truth, held_out_share, seed)
    fitted = _groups_to_fit(decisions, training, min_group_rows)
    training = training[np.isin(decisions.grouping.codes[training], fitted)]
    reached = np.isin(decisions.grouping.codes[held_out], fitted)
    asked = held_out[reached]
    found = (
        {AFTER: _by_threshold(decisions, constraint, training, asked, seed)}
        if method is Method.THRESHOLD
        else _by_gradient(decisions, constraint, training, asked, seed)
    )
    before = decisions.decided[held_out]
    decided = {BEFORE: before}
    for name, values in found.items():
        decided[name] = before.copy()
        decided[name][reached] = values
    kept = tuple(group for code, group in enumerate(decisions.grouping.groups) if code not in fitted)
    return Mitigated(method, held_out, decided, kept)


def _split(truth: Bools, held_out_share: float, seed: int) -> tuple[Rows, Rows]:
    from sklearn.model_selection import train_test_split

    try:
        training, held_out = train_test_split(
            np.arange(len(truth)), test_size=held_out_share, random_state=seed, stratify=truth
        )
    except ValueError as error:
        msg = (
            f"the {len(truth)} rows ({int(truth.sum())} positive) cannot be split into training and held-out rows with "
            f"both labels: {error}; give more rows or another share"
        )
        raise SettingsError(msg) from error
    return np.sort(training), np.sort(held_out)


def _groups_to_fit(decisions: Decisions, training: Rows, min_group_rows: int) -> list[int]:
    codes, truth = decisions.grouping.codes[training], decisions.truth[training]
    fitted = [
        code
        for code in range(len(decisions.grouping.groups))
        if (codes == code).sum() >= min_group_rows and len(set(truth[codes == code])) == 2
    ]
    if len(fitted) < 2:
        msg = (
            f"mitigation by {attribute_text(decisions.grouping.attributes)} needs two groups with {min_group_rows} "
            f"training rows and both labels, and {len(fitted)} have them; give more rows or lower "
            "fairness.min_group_rows"
        )
        raise SettingsError(msg)
    return fitted


def _by_threshold(decisions: Decisions, constraint: Constraint, training: Rows, asked: Rows, seed: int) -> Bools:
    from fairlearn.postprocessing import ThresholdOptimizer

    from pegel.lifecycle.fairness.score_itself import ScoreItself

    scores, codes = decisions.scores.reshape(-1, 1), decisions.grouping.codes
    optimizer = ThresholdOptimizer(
        estimator=ScoreItself().fit(scores, decisions.truth),
        constraints=str(constraint),
        objective="accuracy_score",
        prefit=True,
        predict_method="predict",
    )
    optimizer.fit(scores[training], decisions.truth[training].astype(int), sensitive_features=codes[training])
    if not len(asked):
        return np.zeros(0, dtype=bool)
    said = optimizer.predict(scores[asked], sensitive_features=codes[asked], random_state=seed)
    return np.asarray(said == 1, dtype=bool)


def _by_gradient(
    decisions: Decisions, constraint: Constraint, training: Rows, asked: Rows, seed: int
) -> dict[str, Bools]:
    from fairlearn import reductions
    from sklearn.base import clone
    from sklearn.linear_model import LogisticRegression

    features = _design(decisions, training)
    truth, codes = decisions.truth.astype(int), decisions.grouping.codes
    moments = {
        Constraint.EQUALIZED_ODDS: reductions.EqualizedOdds,
        Constraint.DEMOGRAPHIC_PARITY: reductions.DemographicParity,
        Constraint.TRUE_POSITIVE_RATE_PARITY: reductions.TruePositiveRateParity,
        Constraint.FALSE_POSITIVE_RATE_PARITY: reductions.FalsePositiveRateParity,
    }
    # It is fitted some 80 times; for many rows of few features this solver is the quickest.
    estimator = LogisticRegression(solver="newton-cholesky")
    plain = clone(estimator).fit(features[training], truth[training])
    gradient = reductions.ExponentiatedGradient(
        estimator, constraints=moments[constraint](difference_bound=DIFFERENCE_BOUND)
    )
    gradient.fit(features[training], truth[training], sensitive_features=codes[training])
    if not len(asked):
        return {name: np.zeros(0, dtype=bool) for name in (UNCONSTRAINED, AFTER)}
    return {
        UNCONSTRAINED: plain.predict(features[asked]) == 1,
        AFTER: np.asarray(gradient.predict(features[asked], random_state=seed)) == 1,
    }


def _design(decisions: Decisions, training: Rows) -> Any:
    """Numbers with mean 0 and sd 1 on the training rows, texts and groups as one column each; missing is told apart."""
    import pandas as pd  # type: ignore[import-untyped]
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = pd.DataFrame({f"feature {name}": values for name, values in decisions.features.items()})
    texts = [name for name in frame if frame[name].dtype == object]
    frame[texts] = frame[texts].fillna("")
    frame = frame.assign(score=decisions.scores, group=decisions.grouping.codes)
    numbers = [name for name in frame if name not in (*texts, "group")]
    transformer = make_column_transformer(
        (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), [*texts, "group"]),
    )
    transformer.fit(frame.iloc[training])
    return transformer.transform(frame)
