"""Events from Event Hubs' Kafka endpoint, or from any Kafka, by Spark's own source. Edge.

Both hubs are read by one source, so that one micro-batch holds both. Ordering is per partition; the checkpoint alone
holds the position, nothing is committed to a consumer group, and a replayed batch reads the same offsets again.
"""

import os
from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql.functions import coalesce, col, lit

from pegel.conf.settings import SourceSettings
from pegel.errors import OutsideError

# The text of the settings is the user name, whatever the service; the password is the whole connection string.
_USER = "$ConnectionString"
_LOGIN_MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"

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
        SettingsError: if the connection string is not there and no service credential is named.
    """
    secret = "" if settings.kafka.service_credential else settings.kafka.connection_string.read()
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


def kafka_options(settings: SourceSettings, connection_string: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The options of Spark's Kafka source.

    Args:
        settings: the hubs, the servers, and how many events a micro-batch may hold.
        connection_string: the secret; not used if a service credential is named.
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
    options |= {
        "kafka.security.protocol": kafka.security_protocol,
        "kafka.sasl.mechanism": "PLAIN",
        "kafka.sasl.jaas.config": f"{shaded}{_LOGIN_MODULE} required "
        f'username="{_USER}" password="{_escaped(connection_string)}";',
    }
    if kafka.truststore_pem:
        options |= {"kafka.ssl.truststore.type": "PEM", "kafka.ssl.truststore.location": kafka.truststore_pem}
    return options


_UNTRUSTED = "shows a certificate that is not trusted: check source.kafka.truststore_pem"

# What the client's errors mean, by a word that each holds; the first that is found counts.
_MEANINGS = {
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
    text = _with_causes(error)
    if "kafka" not in text.lower():
        return None
    meaning = next((meaning for word, meaning in _MEANINGS.items() if word in text), None)
    if meaning is None:
        return None
    secret = settings.kafka.connection_string
    credential = settings.kafka.service_credential
    facts = {
        "hubs": f"{settings.predictions_hub}, {settings.feedback_hub}",
        "who": f"the service credential {credential}"
        if credential
        else f"the key that {secret.env or secret.file} holds",
    }
    return OutsideError(f"Kafka at {settings.kafka.bootstrap_servers} {meaning.format(**facts)}")


def _with_causes(error: BaseException) -> str:
    texts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(texts) < 20:
        texts.append(f"{type(cause).__name__} {cause} {getattr(cause, 'getStackTrace', str)()}")
        cause = cause.__cause__ or cause.__context__
    return "\n".join(texts)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
