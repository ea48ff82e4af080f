from pyspark.errors import StreamingQueryException

from pegel.conf.settings import SourceSettings
from pegel.errors import OutsideError, SettingsError
from pegel.jobs.stream import _explained

WRAPPED = StreamingQueryException("[STREAM_FAILED] Query terminated\n\tat org.apache.spark.Long.trace(Trace.java:1)")


def test_an_error_on_purpose_is_told_as_it_is() -> None:
    mine = SettingsError("the grid's column 'x' has no source")
    assert _explained(WRAPPED, mine, SourceSettings()) is mine


def test_any_other_failure_of_a_micro_batch_is_one_sentence_without_a_trace() -> None:
    told = _explained(WRAPPED, OSError("No space left on device\nsecond line"), SourceSettings())
    assert isinstance(told, OutsideError)
    assert "a micro-batch ended the stream: No space left on device; nothing is lost" in str(told)
    assert "\n" not in str(told)


def test_a_failure_of_the_source_names_the_kind_of_source() -> None:
    told = str(_explained(WRAPPED, None, SourceSettings(kind="files")))
    assert told.startswith("reading from files ended the stream: [STREAM_FAILED] Query terminated;")
    assert "Trace.java" not in told
