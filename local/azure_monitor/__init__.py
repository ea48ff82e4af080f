"""A local Azure Monitor that speaks the real protocols: see :class:`LocalAzureMonitor`."""

from pegel.local.azure_monitor.local_azure_monitor import Fault, LocalAzureMonitor

__all__ = ["Fault", "LocalAzureMonitor"]
