"""The settings of the fairness gate. Pure."""

from typing import Literal

from pydantic import Field, model_validator

from pegel.conf.section import Section


class FairnessSettings(Section):
    """Which groups a challenger must not wrong; without `attributes` groups are reported and nothing is refused.

    `metrics` are what the gate looks at, each by every attribute and pair of attributes; all but `accuracy` are judged
    for each of `positive_labels` against the rest. `max_difference` is how far two groups may lie apart,
    `max_increase_over_champion` by how much a group may fare worse than with the champion; none switches one off.
    A group with fewer than `min_group_rows` rows behind a rate is reported and not judged; groups beyond `max_groups`
    are counted together. The limits are conventions, not derived.
    """

    attributes: tuple[str, ...] = ()
    positive_labels: tuple[str, ...] = ()
    metrics: tuple[
        Literal["accuracy", "selection_rate", "true_positive_rate", "false_positive_rate", "false_negative_rate"], ...
    ] = ("accuracy",)
    max_difference: float | None = Field(default=0.1, ge=0, le=1)
    max_increase_over_champion: float | None = Field(default=0.05, ge=0, le=1)
    min_group_rows: int = Field(default=30, gt=0)
    max_groups: int = Field(default=50, gt=0)

    @model_validator(mode="after")
    def _judgeable(self) -> "FairnessSettings":
        needing = [metric for metric in self.metrics if metric != "accuracy"]
        if needing and not self.positive_labels:
            msg = f"fairness.metrics {needing} are not defined without fairness.positive_labels; say what is positive"
            raise ValueError(msg)
        return self
