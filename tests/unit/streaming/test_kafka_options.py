import pytest

from pegel.conf.settings import KafkaOauthSettings, KafkaSettings, SourceSettings
from pegel.streaming.sources.kafka import explain_kafka_failure, kafka_options

SETTINGS = SourceSettings(
    kind="kafka",
    predictions_hub="p",
    feedback_hub="f",
    max_events_per_trigger=123,
    kafka=KafkaSettings(bootstrap_servers="n.servicebus.windows.net:9093"),
)
MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"


def test_options_are_those_that_event_hubs_asks_for():
    assert kafka_options(SETTINGS, "Endpoint=sb://n/;SharedAccessKey=k=", {}) == {
        "subscribe": "p,f",
        "startingOffsets": "earliest",
        "failOnDataLoss": "true",
        "maxOffsetsPerTrigger": "123",
        "kafka.bootstrap.servers": "n.servicebus.windows.net:9093",
        "kafka.security.protocol": "SASL_SSL",
        "kafka.sasl.mechanism": "PLAIN",
        "kafka.sasl.jaas.config": f'{MODULE} required username="$ConnectionString" '
        'password="Endpoint=sb://n/;SharedAccessKey=k=";',
        "kafka.metadata.max.age.ms": "180000",
        "kafka.connections.max.idle.ms": "180000",
        "kafka.request.timeout.ms": "60000",
        "kafka.session.timeout.ms": "30000",
    }


def test_options_name_the_shaded_login_module_on_databricks():
    options = kafka_options(SETTINGS, "s", {"DATABRICKS_RUNTIME_VERSION": "18.0"})
    assert options["kafka.sasl.jaas.config"].startswith(f"kafkashaded.{MODULE} required ")


def test_options_hold_the_truststore_of_a_private_authority():
    kafka = SETTINGS.kafka.model_copy(update={"truststore_pem": "/certs/ca.pem"})
    options = kafka_options(SETTINGS.model_copy(update={"kafka": kafka}), "s", {})
    assert options["kafka.ssl.truststore.type"] == "PEM"
    assert options["kafka.ssl.truststore.location"] == "/certs/ca.pem"


def test_options_keep_a_secret_with_quotes_inside_its_quotes():
    jaas = kafka_options(SETTINGS, 'a"; evil="b\\', {})["kafka.sasl.jaas.config"]
    assert jaas.endswith('password="a\\"; evil=\\"b\\\\";')


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("org.apache.kafka.common.errors.SaslAuthenticationException: x", "PEGEL_EVENTHUBS_CONNECTION_STRING holds"),
        ("org.apache.kafka.common.errors.UnknownTopicOrPartitionException", "no such hubs: p, f"),
        ("[KAFKA_DATA_LOSS.START_OFFSET_RESET]", "no longer keeps events"),
        ("org.apache.kafka.common.errors.TimeoutException", "does not answer"),
    ],
)
def test_explanation_says_what_to_do_also_when_the_failure_is_a_cause(text, sentence):
    wrapped = RuntimeError("FOREACH_BATCH_USER_FUNCTION_ERROR")
    wrapped.__cause__ = RuntimeError(text)
    for error in (RuntimeError(text), wrapped):
        explained = explain_kafka_failure(error, SETTINGS)
        assert explained is not None
        assert sentence in str(explained)
        assert str(explained).startswith("Kafka at n.servicebus.windows.net:9093 ")


def test_explanation_is_not_given_for_what_is_not_of_kafka():
    assert explain_kafka_failure(RuntimeError("TimeoutException in Delta"), SETTINGS) is None


def test_options_name_a_service_credential_in_place_of_every_secret():
    kafka = SETTINGS.kafka.model_copy(update={"service_credential": "pegel-stream"})
    options = kafka_options(SETTINGS.model_copy(update={"kafka": kafka}), "s3cret-canary", {})
    assert options["databricks.serviceCredential"] == "pegel-stream"
    assert not [name for name in options if "sasl" in name or "security.protocol" in name]
    assert "s3cret-canary" not in str(options)
    assert {"subscribe", "kafka.bootstrap.servers", "kafka.request.timeout.ms"} <= set(options)


def test_explanation_names_the_service_credential_that_was_refused():
    kafka = SETTINGS.kafka.model_copy(update={"service_credential": "pegel-stream"})
    settings = SETTINGS.model_copy(update={"kafka": kafka})
    explained = explain_kafka_failure(RuntimeError("kafka SaslAuthenticationException"), settings)
    assert "the service credential pegel-stream" in str(explained)


OAUTH = "org.apache.kafka.common.security.oauthbearer"
ENDPOINT = "https://login.microsoftonline.com/t/oauth2/v2.0/token"


def signing_in(**oauth):
    kafka = SETTINGS.kafka.model_copy(update={"oauth": KafkaOauthSettings(client_id="c", **oauth)})
    return SETTINGS.model_copy(update={"kafka": kafka})


@pytest.mark.parametrize(("environ", "shaded"), [({}, ""), ({"DATABRICKS_RUNTIME_VERSION": "18.0"}, "kafkashaded.")])
def test_an_application_that_signs_in_shows_tokens_of_entra(environ, shaded):
    options = kafka_options(signing_in(token_endpoint=ENDPOINT), 's"3', environ)
    assert {name: text for name, text in options.items() if "sasl" in name} == {
        "kafka.sasl.mechanism": "OAUTHBEARER",
        "kafka.sasl.login.callback.handler.class": f"{shaded}{OAUTH}.OAuthBearerLoginCallbackHandler",
        "kafka.sasl.oauthbearer.token.endpoint.url": ENDPOINT,
        "kafka.sasl.oauthbearer.header.urlencode": "true",
        "kafka.sasl.jaas.config": f"{shaded}{OAUTH}.OAuthBearerLoginModule required "
        'clientId="c" clientSecret="s\\"3" scope="https://n.servicebus.windows.net/.default";',
    }
    assert options["kafka.security.protocol"] == "SASL_SSL"


def test_a_token_in_a_file_needs_no_secret():
    options = kafka_options(signing_in(token_endpoint="file:///run/token", scope="x"), "", {})
    assert options["kafka.sasl.jaas.config"] == f"{OAUTH}.OAuthBearerLoginModule required;"
