"""The source ``eventhubs`` in Spark: every event once, over restarts, and no secret where people look."""

import pytest
from azure.eventhub import EventData, EventHubProducerClient
from pyspark.errors import StreamingQueryException

from pegel.conf.settings import SourceSettings
from pegel.local.eventhubs import EventHubsServer, serve_in_thread
from pegel.streaming.sources import read_events
from pegel.streaming.sources.eventhubs import register

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def hubs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hubs")
    with serve_in_thread(EventHubsServer({"predictions": 2, "feedback": 1}, folder)) as server:
        yield server


@pytest.fixture
def send(hubs):
    def to(hub, *bodies):
        client = EventHubProducerClient.from_connection_string(hubs.connection_string, eventhub_name=hub)
        with client:
            for body in bodies:
                client.send_event(EventData(body))

    return to


@pytest.fixture
def settings(hubs, tmp_path):
    secret = tmp_path / "connection_string"
    secret.write_text(hubs.connection_string)
    reach = {"connection_string": {"file": str(secret)}}
    return SourceSettings.model_validate({"max_events_per_trigger": 4, "eventhubs": reach})


@pytest.fixture
def drain(tmp_path):
    """Run a frame with AvailableNow from this test's checkpoint: the rows of each micro-batch."""

    def run(frame):
        batches = []
        query = (
            frame.writeStream.foreachBatch(lambda batch, _: batches.append(batch.collect()))
            .option("checkpointLocation", str(tmp_path / "checkpoint"))
            .trigger(availableNow=True)
            .start()
        )
        query.awaitTermination(120)
        return batches, query

    return run


def test_every_event_comes_once_within_the_limit_and_over_a_restart(spark, settings, send, drain):
    send("predictions", "p0", "p1", "p2", "p3", "p4")
    send("feedback", "f0")
    frame = read_events(spark, settings)
    assert frame.schema.simpleString() == (
        "struct<hub:string,partition:string,offset:bigint,enqueued_time:timestamp,body:binary>"
    )
    batches, query = drain(frame)
    assert [len(batch) for batch in batches] == [4, 2]
    rows = [row for batch in batches for row in batch]
    assert sorted(bytes(row.body) for row in rows) == [b"f0", b"p0", b"p1", b"p2", b"p3", b"p4"]
    assert {(row.hub, row.partition, row.offset) for row in rows} == {
        ("predictions", "0", 0), ("predictions", "0", 1), ("predictions", "0", 2),
        ("predictions", "1", 0), ("predictions", "1", 1), ("feedback", "0", 0),
    }  # fmt: skip
    assert "SAS_KEY_VALUE" not in query._jsq.explainInternal(True)
    assert "SAS_KEY_VALUE" not in frame._jdf.queryExecution().toString()
    assert str(settings.eventhubs.connection_string.file) not in frame._jdf.queryExecution().toString()

    send("predictions", "p5")
    batches, query = drain(read_events(spark, settings))
    assert [bytes(row.body) for batch in batches for row in batch] == [b"p5"]
    # Spark's progress shows how far the hubs reach beside how far was read.
    source = query.lastProgress["sources"][0]
    assert source["endOffset"] == source["latestOffset"]


def test_an_error_in_a_worker_says_what_is_wrong_and_shows_no_secret(spark, tmp_path, drain):
    secret = tmp_path / "broken"
    secret.write_text("Endpoint=;SharedAccessKeyName=rule;SharedAccessKey=my+own+key=")
    register(spark)
    options = {"hubs": "predictions", "connectionStringFile": str(secret)}
    with pytest.raises(StreamingQueryException) as failure:
        drain(spark.readStream.format("eventhubs").options(**options).load())
    assert "is malformed; copy it again from the portal" in str(failure.value)
    assert "my+own+key=" not in str(failure.value)
