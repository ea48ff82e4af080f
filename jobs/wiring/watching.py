"""How a watcher is made from the settings: the stream and a rebuild must make the same. Wiring."""

from pegel.alerts.policy import load_policy
from pegel.conf.settings import Settings
from pegel.schemas.policy import Policy
from pegel.streaming.watch.history import History
from pegel.streaming.watch.references import BaselineCatalog
from pegel.streaming.watch.watcher import Watcher
from pegel.tables.delta import DeltaTables


def build_watcher(
    settings: Settings, tables: DeltaTables, policy: Policy | None = None, history: History | None = None
) -> Watcher:
    """A new watcher of the stream whose tables these are.

    Args:
        settings: those of the stream.
        tables: the stream's.
        policy: where it is not the one that the settings name.
        history: where partials are loaded from something else than the tables.

    Raises:
        SettingsError: if the policy cannot be read.
    """
    history = history or History(tables)
    return Watcher(
        settings.watch,
        BaselineCatalog(tables),
        alerts_per_month=(policy or load_policy(settings.watch.policy)).alerts_per_month,
        shortest_block_seconds=settings.ingest.trigger_seconds,
        load=history.partials,
        load_labelled=history.labelled,
    )
