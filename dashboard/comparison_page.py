"""A comparison as one page that needs nothing else. Edge: reads its template."""

import math
from collections.abc import Sequence

from pegel.dashboard.page_templates import page_templates
from pegel.schemas.comparison import ComparedNumber, Metric
from pegel.schemas.comparison_summary import conclusion, printable, summaries


def comparison_page(numbers: Sequence[ComparedNumber], baseline: str, current: str) -> str:
    """The page: what follows, and a line for each chunk and column with all its distances.

    All text from outside is escaped; the page has no script, fetches nothing and says so to the browser.

    Args:
        numbers: by chunk, column and metric.
        baseline: what it was compared with, as it was given.
        current: what was compared, as it was given.
    """
    templates = page_templates()
    templates.filters.update(digits=_digits, printable=printable)
    page: str = templates.get_template("comparison.html").render(
        baseline=baseline,
        current=current,
        conclusion=conclusion(numbers),
        metrics=[metric for metric in Metric if any(number.metric is metric for number in numbers)],
        lines=[
            (summary, {number.metric: number.value for number in summary.numbers}) for summary in summaries(numbers)
        ],
        chunked=any(number.chunk for number in numbers),
    )
    return page


def _digits(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.4g}"
