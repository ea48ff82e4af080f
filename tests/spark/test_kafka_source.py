import contextlib
import io

import pytest
from confluent_kafka import Producer
from equipment.hubs import PARTITIONS, KafkaHubs
from equipment.kafka_broker import KafkaBroker, TokenRules
from equipment.live_stream import LiveStream
from equipment.token_endpoint import CLIENT_ID, CLIENT_SECRET, ISSUER, TokenEndpoint

from pegel.conf.settings import KafkaOauthSettings, KafkaSettings, SourceSettings
from pegel.streaming.sources.kafka import explain_kafka_failure, read_kafka

pytestmark = pytest.mark.spark

SECRET = "PEGEL_EVENTHUBS_CONNECTION_STRING"
CLIENT = "PEGEL_EVENTHUBS_CLIENT_SECRET"
AUDIENCE = "https://127.0.0.1"


@pytest.fixture(scope="module")
def endpoint():
    with TokenEndpoint(AUDIENCE, f"{AUDIENCE}/.default") as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def broker(tmp_path_factory, endpoint):
    folder = tmp_path_factory.mktemp("kafka")
    tokens = TokenRules(endpoint.write_keys(folder / "keys.json"), AUDIENCE, ISSUER)
    with KafkaBroker(folder, PARTITIONS, tokens=tokens) as broker:
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


def shown(events, query):
    """Everything that people are shown of a query."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        for mode in ("extended", "formatted", "cost", "codegen"):
            events.explain(mode=mode)
        query.explain(extended=True)
    return f"{text.getvalue()}{query._jsq.toString()}{query.recentProgress}"


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

    plans = shown(events, query)
    assert "kafka.bootstrap.servers" in plans
    assert "SharedAccessKey" not in plans


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


@pytest.fixture
def signing_in(settings, endpoint, monkeypatch):
    """Settings of an application that signs in; ``**oauth`` replaces some of them."""
    monkeypatch.delenv(SECRET)
    monkeypatch.setenv(CLIENT, CLIENT_SECRET)

    def made(**oauth):
        signs_in = KafkaOauthSettings(**{"token_endpoint": endpoint.url, "client_id": CLIENT_ID} | oauth)
        return settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"oauth": signs_in})})

    return made


def refusal(settings, spark, tmp_path, name):
    with pytest.raises(Exception, match=r".") as refused:
        read_all(read_kafka(spark, settings), name, tmp_path)
    return refused.value, str(explain_kafka_failure(refused.value, settings))


def test_an_application_that_signs_in_reads_the_same_and_so_does_a_token_in_a_file(
    broker, signing_in, endpoint, spark, tmp_path, monkeypatch
):
    producer = Producer(broker.client_options())
    producer.produce("predictions", b"{}")
    producer.flush()
    events = read_kafka(spark, signing_in())
    assert CLIENT_SECRET not in shown(events, read_all(events, "signed_in", tmp_path))
    assert endpoint.given > 0
    monkeypatch.delenv(CLIENT)
    given = endpoint.given
    (tmp_path / "token.jwt").write_text(endpoint.token())
    read_all(read_kafka(spark, signing_in(token_endpoint=(tmp_path / "token.jwt").as_uri())), "by_file", tmp_path)
    assert endpoint.given == given
    assert 0 < spark.table("signed_in").count() == spark.table("by_file").count()


@pytest.mark.parametrize("claims", [{"aud": "https://elsewhere"}, {"iss": "https://elsewhere"}, {"exp": 1}], ids=str)
def test_a_token_that_is_not_good_is_refused_and_explained(signing_in, endpoint, spark, tmp_path, claims):
    (tmp_path / "token.jwt").write_text(endpoint.token(**claims))
    settings = signing_in(token_endpoint=(tmp_path / "token.jwt").as_uri())
    error, explained = refusal(settings, spark, tmp_path, "bad_token")
    assert "refuses whoever asks: check the token in file:" in explained, error
    assert "eyJ" not in explained


def test_a_wrong_client_secret_is_refused_and_explained(signing_in, spark, tmp_path, monkeypatch):
    monkeypatch.setenv(CLIENT, "wr0ng-canary")
    error, explained = refusal(signing_in(), spark, tmp_path, "wrong_secret")
    assert f"gives no token: check the secret of {CLIENT_ID} that {CLIENT} holds" in explained, error
    assert "canary" not in str(error) + explained


def test_a_broker_whose_certificate_nobody_vouches_for_is_refused_and_explained(settings, spark, tmp_path):
    untrusting = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"truststore_pem": None})})
    error, explained = refusal(untrusting, spark, tmp_path, "untrusted")
    assert "shows a certificate that is not trusted: check source.kafka.truststore_pem" in explained, error


def send_in_a_transaction(broker, count):
    """Each ends with a mark that takes a number of its own and is no event."""
    producer = Producer({**broker.client_options(), "transactional.id": "a-producer"})
    producer.init_transactions(60)
    producer.begin_transaction()
    for i in range(count):
        producer.produce("predictions", b'{"in a transaction": %d}' % i, partition=0)
    producer.commit_transaction(60)


def test_a_broker_that_restarts_under_the_stream_costs_no_event_and_marks_of_transactions_are_no_loss(
    broker, spark, tmp_path
):
    hubs = KafkaHubs(tmp_path, broker)
    send_in_a_transaction(broker, 3)
    stream = LiveStream(spark, hubs, tmp_path)
    stream.send(30)
    before = hubs.events()
    stream.start()
    try:
        stream.wait_until_read(len(before))
        hubs.restart()
        stream.send(30)
        stream.wait_until_read(len(before) + 30)
    finally:
        stream.stop()
    assert stream.differences(hubs.events()) == []
    (gap,) = stream.tables.read("gaps")
    assert (gap["cause"], gap["first_offset"]) == ("no_event", gap["last_offset"])
    assert gap["first_offset"] not in {e.offset for e in hubs.events() if e.place[:2] == ("predictions", "0")}
