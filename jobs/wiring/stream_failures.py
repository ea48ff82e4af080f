"""What ended the stream, in one sentence that says what to do. Wiring: knows Spark's errors and the sources' own."""

from pyspark.errors import PySparkException, StreamingQueryException

from pegel.conf.settings import Settings
from pegel.errors import OutsideError, PegelError, SettingsError
from pegel.streaming.sources.kafka import explain_kafka_failure, with_causes

_ANEW = "name another storage.checkpoint: what the hub still holds is read again, and found to be copies"

# What Spark says of a checkpoint, by words that stand in it, and what that means.
_OF_THE_CHECKPOINT = {
    "STREAMING_CHECKPOINT_MISSING_METADATA_FILE": "has lost its file metadata, which says whose it is; put it back, or",
    "sources in the checkpoint offsets": "belongs to other sources than source and source.backfill name now; put them "
    "back, or",
    "CONCURRENT_STREAM_LOG_UPDATE": "is used by another process that runs the stream; end one of them, or",
}


_DISK_FULL = "No space left on device"


def explain_failure(error: PySparkException, failure: Exception | None, settings: Settings) -> PegelError:
    """Say why a query ended.

    Args:
        error: what Spark raised.
        failure: what the micro-batch raised, before Spark wrapped it; None if it was not a micro-batch.
        settings: where the checkpoint lies, and which source it is.
    """
    if _DISK_FULL in f"{failure}{with_causes(error)}":
        where = f"{settings.storage.root} or {settings.storage.checkpoint_location}"
        return OutsideError(
            f"there is no room left on the disk of {where}; make room, then start the job again: nothing is lost and it"
            " goes on"
        )
    if isinstance(failure, PegelError):
        return failure
    checkpoint = next((meaning for words, meaning in _OF_THE_CHECKPOINT.items() if words in str(error)), None)
    if checkpoint is not None:
        return SettingsError(f"the checkpoint {settings.storage.checkpoint_location} {checkpoint} {_ANEW}")
    source = settings.source
    if source.kind == "kafka" and (known := explain_kafka_failure(error, source)) is not None:
        return known
    cause: BaseException = failure or error
    first = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    kind = "a micro-batch" if failure else f"reading from {source.kind}"
    trouble = "ended the stream" if isinstance(error, StreamingQueryException) else "kept the stream from starting"
    return OutsideError(
        f"{kind} {trouble}: {first}; nothing is lost, start the job again once the cause is mended and it goes on"
    )
