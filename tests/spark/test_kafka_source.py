import contextlib
import io

import pytest
from confluent_kafka import Producer
from equipment.kafka_broker import KafkaBroker

from pegel.conf.settings import KafkaSettings, SourceSettings
from pegel.streaming.sources.kafka import explain_kafka_failure, read_kafka

pytestmark = pytest.mark.spark

SECRET = "PEGEL_EVENTHUBS_CONNECTION_STRING"


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with KafkaBroker(tmp_path_factory.mktemp("kafka"), {"predictions": 3, "feedback": 2}) as broker:
        yield broker


@pytest.fixture
def settings(broker, monkeypatch):
    monkeypatch.setenv(SECRET, broker.password)
    kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers, truststore_pem=broker.truststore_pem)
    return SourceSettings(kind="kafka", kafka=kafka, max_events_per_trigger=40)


def read_all(events, name, tmp_path):
    writer = events.writeStream.format("memory").queryName(name).option("checkpointLocation", str(tmp_path / name))
    query = writer.trigger(availableNow=True).start()
    query.awaitTermination()
    return query


def test_both_hubs_are_read_once_and_no_plan_shows_the_secret(broker, settings, spark, tmp_path):
    producer = Producer(broker.client_options())
    sent = set()

    def remember(error, message):
        assert error is None
        body = b"" if message.value() is None else message.value()
        sent.add((message.topic(), str(message.partition()), message.offset(), body))

    for i in range(90):
        producer.produce("predictions", b'{"n": %d}' % i, on_delivery=remember)
    for i in range(9):
        producer.produce("feedback", b"\xff" * i if i else None, on_delivery=remember)
    producer.flush()

    events = read_kafka(spark, settings)
    query = read_all(events, "both_hubs", tmp_path)
    rows = spark.table("both_hubs").collect()
    assert {(row.hub, row.partition, row.offset, bytes(row.body)) for row in rows} == sent
    assert len(rows) == 99
    assert events.dtypes == [
        ("hub", "string"), ("partition", "string"), ("offset", "bigint"), ("enqueued_time", "timestamp"),
        ("body", "binary"),
    ]  # fmt: skip

    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        for mode in ("extended", "formatted", "cost", "codegen"):
            events.explain(mode=mode)
        query.explain(extended=True)
    assert "kafka.bootstrap.servers" in shown.getvalue()
    for place in (shown.getvalue(), query._jsq.toString(), str(query.recentProgress)):
        assert "SharedAccessKey" not in place


def test_a_wrong_key_is_refused_and_explained(settings, spark, tmp_path, monkeypatch):
    monkeypatch.setenv(SECRET, "Endpoint=sb://localhost/;SharedAccessKeyName=n;SharedAccessKey=d3Jvbmc=")
    with pytest.raises(Exception, match="SaslAuthenticationException") as refused:
        read_all(read_kafka(spark, settings), "wrong_key", tmp_path)
    explained = str(explain_kafka_failure(refused.value, settings))
    assert explained == (
        f"Kafka at {settings.kafka.bootstrap_servers} refuses whoever asks: check the key that {SECRET} "
        "holds, and its right to listen"
    )
    assert "SharedAccessKey" not in str(refused.value)
