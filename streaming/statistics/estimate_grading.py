"""How far estimates without labels were off, when labels came. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from scipy.special import ndtri

from pegel.streaming.statistics.intervals import CONFIDENCE

FEWEST_WINDOWS = 5
"""With fewer, an estimator has no grade. Convention, not derived."""

_Z = float(ndtri((1 + CONFIDENCE) / 2))


@dataclass(frozen=True, slots=True)
class GradedWindow:
    """A window whose quality was estimated and is known by now.

    Attributes:
        estimated: the estimate.
        realised: what the labels say of the same events.
        standard_error: by how much the two were to differ by chance alone, as the estimate's own interval said then:
            its half width over 1.96, without an earlier grade.
    """

    estimated: float
    realised: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class Grade:
    """How good an estimator has been.

    Attributes:
        windows: that were graded.
        mean_error: estimated less realised; above 0 it was too hopeful.
        mean_absolute_error: the mean size of the error.
        held: the share of windows whose realised quality lay in the interval that the estimate had by itself.
        error_sd: the standard deviation of what chance does not explain, with the mean error in it; 0 if chance
            explains all. It widens later intervals.
    """

    windows: int
    mean_error: float
    mean_absolute_error: float
    held: float
    error_sd: float


def grade(windows: Sequence[GradedWindow]) -> Grade | None:
    """Grade an estimator by what became known.

    ``error_sd^2 = max(0, mean(error^2) - mean(standard_error^2))``: the mean squared error less what chance explains,
    the estimator of moments that meta-analysis uses for studies that differ by more than chance. A bias stays in it:
    subtracting it would trust that it lasts.

    Windows whose estimate was switched off do not belong here, nor those of which few are labelled.

    Returns:
        None with fewer than :data:`FEWEST_WINDOWS`.

    References:
        DerSimonian and Laird 1986, "Meta-analysis in clinical trials".

    Example:
        Errors of 0.05, of which chance explains 0.03: 0.0025 - 0.0009 = 0.04^2.

        >>> found = grade([GradedWindow(0.85, 0.80, 0.03)] * 5)
        >>> round(found.mean_error, 9), round(found.error_sd, 9), found.held
        (0.05, 0.04, 1.0)
    """
    k = len(windows)
    if k < FEWEST_WINDOWS:
        return None
    errors = [window.estimated - window.realised for window in windows]
    by_chance = sum(window.standard_error**2 for window in windows) / k
    held = sum(abs(error) <= _Z * w.standard_error for error, w in zip(errors, windows, strict=True))
    return Grade(
        windows=k,
        mean_error=sum(errors) / k,
        mean_absolute_error=sum(abs(error) for error in errors) / k,
        held=held / k,
        error_sd=sqrt(max(0.0, sum(error**2 for error in errors) / k - by_chance)),
    )
