import pytest
from pyspark.errors import StreamingQueryException

from pegel.conf.settings import Settings
from pegel.errors import OutsideError, SettingsError
from pegel.jobs.wiring.stream_failures import explain_failure

WRAPPED = StreamingQueryException("[STREAM_FAILED] Query terminated\n\tat org.apache.spark.Long.trace(Trace.java:1)")


def test_an_error_on_purpose_is_told_as_it_is() -> None:
    mine = SettingsError("the grid's column 'x' has no source")
    assert explain_failure(WRAPPED, mine, Settings()) is mine


def test_any_other_failure_of_a_micro_batch_is_one_sentence_without_a_trace() -> None:
    told = explain_failure(WRAPPED, OSError("Input/output error\nsecond line"), Settings())
    assert isinstance(told, OutsideError)
    assert "a micro-batch ended the stream: Input/output error; nothing is lost" in str(told)
    assert "\n" not in str(told)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (StreamingQueryException("terminated: No space left on device\n\tat a.b.C"), None),
        (WRAPPED, OutsideError("could not append to 'profiles': Generic error: No space left on device (os error 28)")),
    ],
)
def test_a_full_disk_is_told_with_where_it_is(error: StreamingQueryException, failure: Exception | None) -> None:
    told = str(explain_failure(error, failure, Settings()))
    assert told == (
        "there is no room left on the disk of .pegel/tables or .pegel/tables/_checkpoints/stream; make room, then start"
        " the job again: nothing is lost and it goes on"
    )


def test_a_failure_of_the_source_names_the_kind_of_source() -> None:
    told = str(explain_failure(WRAPPED, None, Settings.model_validate({"source": {"kind": "files"}})))
    assert told.startswith("reading from files ended the stream: [STREAM_FAILED] Query terminated;")
    assert "Trace.java" not in told


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ("[STREAMING_CHECKPOINT_MISSING_METADATA_FILE] Checkpoint location x", "has lost its file metadata"),
        ("There are [1] sources in the checkpoint offsets and now there are [3]", "belongs to other sources"),
        ("[CONCURRENT_STREAM_LOG_UPDATE] Concurrent update to the log", "is used by another process"),
    ],
)
def test_trouble_with_the_checkpoint_says_what_to_do(words: str, meaning: str) -> None:
    told = str(explain_failure(StreamingQueryException(f"{words}\n\tat a.b.C"), None, Settings()))
    assert told.startswith(f"the checkpoint .pegel/tables/_checkpoints/stream {meaning}")
    assert "name another storage.checkpoint" in told
    assert "\n" not in told
