"""Which settings decide, beside the policy, what becomes an alert. Pure."""

import hashlib
import json

from pegel.conf.settings import Settings


def deciding_hash(settings: Settings) -> str:
    """16 hexadecimal digits that name them: how blocks close and windows become final, and how often that may be.

    The policy has a hash of its own, and where its file lies does not matter.

    Example:
        >>> usual = Settings()
        >>> len(deciding_hash(usual)), deciding_hash(usual) == deciding_hash(Settings(watch={"policy": "mine.yml"}))
        (16, True)
        >>> deciding_hash(usual) == deciding_hash(Settings(watch={"block_min_events": 60}))
        False
    """
    watch = settings.watch.model_dump(mode="json", exclude={"policy"})
    content = json.dumps([watch, settings.ingest.trigger_seconds], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
