"""A local Azure Monitor that speaks the real protocols: see :class:`LocalAzureMonitor`."""

from pegel.local.azure_monitor.faults import Fault, SeededFaults
from pegel.local.azure_monitor.local_azure_monitor import LocalAzureMonitor

__all__ = ["Fault", "LocalAzureMonitor", "SeededFaults"]
