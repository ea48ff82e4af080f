"""The settings of the audit trail. Pure."""

from typing import Annotated

from pydantic import Field

from pegel.conf.section import Section
from pegel.schemas.audit import WRITER_NAME

AuditWriter = Annotated[str, Field(pattern=f"^{WRITER_NAME}$")]
"""The name of a writer, for every setting that holds one."""


class AuditSettings(Section):
    """Who decided what: one hash chain for each writer, in the table `audit_events_<writer>`.

    `writers` are those whose chains are anchored and verified; each process has its own. `spool` is a folder on a disk
    of this machine; without it `_audit` under `storage.root`, or `.pegel/audit` if that is a URI.
    """

    writers: tuple[AuditWriter, ...] = Field(
        default=("serve", "webhook", "retrain", "deliver", "build_baseline", "erase", "dead_letters"), max_length=32
    )
    spool: str | None = None
    append_seconds: float = Field(default=1.0, gt=0)
    """How long decisions wait in the spool, so that one append to the table takes many."""
    max_buffered_decisions: int = Field(default=20_000, gt=0)
    anchor_seconds: float = Field(default=60.0, gt=0)
    """How often the heads of the chains are kept in MLflow; every alert carries them too."""
