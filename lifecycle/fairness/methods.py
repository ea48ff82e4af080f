"""The ways to mitigate, and what may be asked of them. Pure; apart, so that `--help` loads no scikit-learn."""

from enum import StrEnum

BEFORE, UNCONSTRAINED, AFTER = "before", "trained without constraint", "after"
"""The names of the models that are compared."""


class Method(StrEnum):
    """How to mitigate."""

    THRESHOLD = "threshold"
    GRADIENT = "gradient"


class Constraint(StrEnum):
    """What should be alike for all groups, by Fairlearn's names."""

    EQUALIZED_ODDS = "equalized_odds"
    DEMOGRAPHIC_PARITY = "demographic_parity"
    TRUE_POSITIVE_RATE_PARITY = "true_positive_rate_parity"
    FALSE_POSITIVE_RATE_PARITY = "false_positive_rate_parity"
