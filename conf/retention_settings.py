"""How long what was counted is kept as it was counted. Pure."""

from pydantic import Field

from pegel.conf.section import Section


class RetentionSettings(Section):
    """How long alerts can be replayed and `pegel watch` can decide again, micro-batch by micro-batch.

    Afterwards `pegel maintain` adds partials up to one row a minute: counts stay for good, shorter windows do not. Days
    are counted back from the newest micro-batch, so a stream that stands still loses nothing.
    """

    replay_days: int = Field(default=90, ge=1)
