"""From rows to what a page shows: pure functions and frozen records, no I/O, no clock."""

from pegel.dashboard.views.overview import Overview, build_overview
from pegel.dashboard.views.scope import Scope

__all__ = ["Overview", "Scope", "build_overview"]
