"""Events from Event Hubs' Kafka endpoint, or from any Kafka, by Spark's own source. Edge.

Both hubs are read by one source, so that one micro-batch holds both. Ordering is per partition; the checkpoint alone
holds the position, nothing is committed to a consumer group, and a replayed batch reads the same offsets again.
"""

import os
from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql.functions import coalesce, col, lit

from pegel.conf.secret_ref import SecretRef
from pegel.conf.settings import KafkaOauthSettings, KafkaSettings, SourceSettings
from pegel.errors import OutsideError

# The text of the settings is the user name, whatever the service; the password is the whole connection string.
_USER = "$ConnectionString"
_PLAIN_LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
_OAUTH = "org.apache.kafka.common.security.oauthbearer"

# Event Hubs cuts idle connections after 240 s and has a floor of 20 s for requests, so Microsoft asks for these:
# azure-docs, event-hubs/apache-kafka-configurations.md.
_TIME_OUTS = {
    "kafka.metadata.max.age.ms": "180000",
    "kafka.connections.max.idle.ms": "180000",
    "kafka.request.timeout.ms": "60000",
    "kafka.session.timeout.ms": "30000",
}


def read_kafka(spark: SparkSession, settings: SourceSettings) -> DataFrame:
    """The events of both hubs as a stream: hub, partition, offset, enqueued_time, body.

    The secret is read here, and goes nowhere but into the source's options, which no plan shows.

    Raises:
        SettingsError: if the secret is not there and no service credential is named.
    """
    secret = "" if (ref := _secret_ref(settings.kafka)) is None else ref.read()
    options = kafka_options(settings, secret, os.environ)
    records = spark.readStream.format("kafka").options(**options).load()
    return records.select(*source_columns())


def source_columns() -> list[Column]:
    """A Kafka record as an event. A record without a value is an event with an empty body, which ingest refuses."""
    return [
        col("topic").alias("hub"),
        col("partition").cast("string").alias("partition"),
        col("offset"),
        col("timestamp").alias("enqueued_time"),
        coalesce(col("value"), lit(bytearray())).alias("body"),
    ]


def kafka_options(settings: SourceSettings, secret: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The options of Spark's Kafka source.

    Args:
        settings: the hubs, the servers, and how many events a micro-batch may hold.
        secret: the connection string, or the secret of the application that signs in; not used if a service credential
            is named, or if the token lies in a file.
        environ: the environment; on Databricks the Kafka client's classes have another name.
    """
    kafka = settings.kafka
    options = {
        "subscribe": f"{settings.predictions_hub},{settings.feedback_hub}",
        "startingOffsets": "earliest",
        "failOnDataLoss": "true",
        "maxOffsetsPerTrigger": str(settings.max_events_per_trigger),
        "kafka.bootstrap.servers": kafka.bootstrap_servers,
        **_TIME_OUTS,
    }
    if kafka.service_credential:
        # Databricks sets protocol, mechanism and login by itself, and refuses them beside it.
        return options | {"databricks.serviceCredential": kafka.service_credential}
    shaded = "kafkashaded." if "DATABRICKS_RUNTIME_VERSION" in environ else ""
    options |= {"kafka.security.protocol": kafka.security_protocol}
    options |= _oauth(kafka, secret, shaded) if kafka.oauth.token_endpoint else _plain(secret, shaded)
    if kafka.truststore_pem:
        options |= {"kafka.ssl.truststore.type": "PEM", "kafka.ssl.truststore.location": kafka.truststore_pem}
    return options


def _plain(connection_string: str, shaded: str) -> dict[str, str]:
    login = f'{shaded}{_PLAIN_LOGIN} required username="{_USER}" password="{_escaped(connection_string)}";'
    return {"kafka.sasl.mechanism": "PLAIN", "kafka.sasl.jaas.config": login}


def _oauth(kafka: KafkaSettings, secret: str, shaded: str) -> dict[str, str]:
    oauth = kafka.oauth
    host = kafka.bootstrap_servers.split(",")[0].rpartition(":")[0]
    signs_in = {"clientId": oauth.client_id, "clientSecret": secret, "scope": oauth.scope or f"https://{host}/.default"}
    given = "" if _lies_in_a_file(oauth) else "".join(f' {name}="{_escaped(text)}"' for name, text in signs_in.items())
    return {
        "kafka.sasl.mechanism": "OAUTHBEARER",
        "kafka.sasl.login.callback.handler.class": f"{shaded}{_OAUTH}.OAuthBearerLoginCallbackHandler",
        "kafka.sasl.oauthbearer.token.endpoint.url": oauth.token_endpoint,
        # Entra's secrets hold characters that RFC 6749 wants encoded; without this the client sends them as they are.
        "kafka.sasl.oauthbearer.header.urlencode": "true",
        "kafka.sasl.jaas.config": f"{shaded}{_OAUTH}.OAuthBearerLoginModule required{given};",
    }


def _lies_in_a_file(oauth: KafkaOauthSettings) -> bool:
    return oauth.token_endpoint.startswith("file:")


def _secret_ref(kafka: KafkaSettings) -> SecretRef | None:
    if kafka.service_credential or _lies_in_a_file(kafka.oauth):
        return None
    return kafka.oauth.client_secret if kafka.oauth.token_endpoint else kafka.connection_string


_UNTRUSTED = "shows a certificate that is not trusted: check source.kafka.truststore_pem"

# What the client's errors mean, by a word that each holds; the first that is found counts.
_MEANINGS = {
    "LoginException": "cannot be asked, since {endpoint} gives no token: check {who}, and source.kafka.oauth",
    "SaslAuthenticationException": "refuses whoever asks: check {who}, and its right to listen",
    "SslAuthenticationException": _UNTRUSTED,
    "SSLHandshakeException": _UNTRUSTED,
    "TopicAuthorizationException": "gives no access to {hubs}: check its rights, and that the tier of the "
    "namespace is Standard or higher, as Basic has no Kafka endpoint",
    "UnknownTopicOrPartitionException": "has no such hubs: {hubs}; make them, or mend source.predictions_hub and "
    "source.feedback_hub",
    "KAFKA_DATA_LOSS": "no longer keeps events that were not read yet: the offsets in the table batches say how far "
    "Pegel came; a new checkpoint (storage.checkpoint) goes on with what is still there",
    "No resolvable bootstrap urls": "cannot be found: check source.kafka.bootstrap_servers",
    "TimeoutException": "does not answer: check source.kafka.bootstrap_servers, the network and the security protocol",
}


def explain_kafka_failure(error: BaseException, settings: SourceSettings) -> OutsideError | None:
    """Say in one sentence why a query ended, if it was Kafka; otherwise None.

    Args:
        error: what the query ended with. Its causes are searched, as a failure in ``foreachBatch`` is wrapped.
        settings: what the sentence speaks of; it never holds the secret.
    """
    text = with_causes(error)
    if "kafka" not in text.lower():
        return None
    meaning = next((meaning for word, meaning in _MEANINGS.items() if word in text), None)
    if meaning is None:
        return None
    facts = {"hubs": f"{settings.predictions_hub}, {settings.feedback_hub}", "who": _who(settings.kafka)}
    facts["endpoint"] = settings.kafka.oauth.token_endpoint
    return OutsideError(f"Kafka at {settings.kafka.bootstrap_servers} {meaning.format(**facts)}")


def _who(kafka: KafkaSettings) -> str:
    if kafka.service_credential:
        return f"the service credential {kafka.service_credential}"
    if (secret := _secret_ref(kafka)) is None:
        return f"the token in {kafka.oauth.token_endpoint}"
    held = f"that {secret.env or secret.file} holds"
    return f"the secret of {kafka.oauth.client_id} {held}" if kafka.oauth.token_endpoint else f"the key {held}"


def with_causes(error: BaseException) -> str:
    """What an error and its causes say, Java's stack traces included."""
    texts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(texts) < 20:
        texts.append(f"{type(cause).__name__} {cause} {getattr(cause, 'getStackTrace', str)()}")
        cause = cause.__cause__ or cause.__context__
    return "\n".join(texts)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
