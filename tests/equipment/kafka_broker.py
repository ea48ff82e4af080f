"""A real Apache Kafka broker in one JVM, which asks of its clients what Event Hubs' Kafka endpoint asks of them.

SASL PLAIN with the user ``$ConnectionString`` and a connection string as the password, and where an issuer's keys are
given its tokens as well; TLS unless told otherwise, no topics made by accident, 1 MB a record. Listens on loopback
only, on ports that are free; keeps its data in the folder that it is given.
"""

import base64
import datetime
import ipaddress
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from equipment.kafka_jars import broker_class_path

CONNECTION_STRING = (
    "Endpoint=sb://localhost/;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=bm90LWEtcmVhbC1rZXk="
)
START_SECONDS = 90.0

_PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=EH://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=EH://127.0.0.1:{port}
listener.security.protocol.map=EH:{protocol},CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=EH
sasl.enabled.mechanisms=PLAIN{oauth}
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.eh.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
  username="admin" password="{admin}" user_admin="{admin}" user_$ConnectionString="{password}";
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
ssl.endpoint.identification.algorithm=
auto.create.topics.enable=false
message.max.bytes=1048576
log.dirs={folder}/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
log.segment.bytes=1073741824
"""


_OAUTH = "org.apache.kafka.common.security.oauthbearer"
_TOKENS = f"""
listener.name.eh.oauthbearer.sasl.server.callback.handler.class={_OAUTH}.OAuthBearerValidatorCallbackHandler
listener.name.eh.oauthbearer.sasl.jaas.config={_OAUTH}.OAuthBearerLoginModule required;
listener.name.eh.sasl.oauthbearer.jwks.endpoint.url={{keys}}
listener.name.eh.sasl.oauthbearer.expected.audience={{audience}}
listener.name.eh.sasl.oauthbearer.expected.issuer={{issuer}}
"""


@dataclass(frozen=True)
class TokenRules:
    """Whose tokens the broker takes.

    Attributes:
        keys: a URL of the issuer's key set; ``file:`` will do.
        audience: what they are for.
        issuer: who signed them.
    """

    keys: str
    audience: str
    issuer: str


class KafkaBroker:
    """One broker and its topics, as a context manager; only its own process is ended.

    Args:
        folder: for its data, its log and its certificate; empty, or the one of an earlier broker, whose data it keeps.
        topics: name -> number of partitions.
        tls: SASL_SSL with a certificate made here, else SASL_PLAINTEXT.
        password: what the user ``$ConnectionString`` has to say.
        tokens: which tokens come in too; none, if this is None.
    """

    def __init__(
        self,
        folder: Path,
        topics: Mapping[str, int],
        *,
        tls: bool = True,
        password: str = CONNECTION_STRING,
        tokens: TokenRules | None = None,
    ) -> None:
        self._tokens = tokens
        self.password = password
        self.protocol = "SASL_SSL" if tls else "SASL_PLAINTEXT"
        self.truststore_pem = str(folder / "ca.pem") if tls else None
        self.bootstrap_servers = ""
        self._folder = folder
        self._topics = dict(topics)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Id of the broker's process."""
        if self._process is None:
            raise RuntimeError("the broker was not started")
        return self._process.pid

    def __enter__(self) -> Self:
        self._write_files()
        self._start()
        return self

    def restart(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Be killed, and start again under the same address with the same data."""
        self.__exit__()
        meanwhile()
        self._start()

    def _start(self) -> None:
        log = (self._folder / "broker.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                ["java", "-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-Dlog4j2.level=WARN", "-cp", broker_class_path(),
                 "kafka.Kafka", str(self._folder / "server.properties")],
                stdout=log, stderr=log, cwd=self._folder,
            )  # fmt: skip
        try:
            self._await_and_make_topics()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client_options(self, password: str | None = None) -> dict[str, Any]:
        """What a ``confluent_kafka`` client needs to come in."""
        options = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.protocol,
            "sasl.mechanism": "PLAIN",
            "sasl.username": "$ConnectionString",
            "sasl.password": password or self.password,
        }
        return options | ({"ssl.ca.location": self.truststore_pem} if self.truststore_pem else {})

    def _write_files(self) -> None:
        (self._folder / "data").mkdir(parents=True, exist_ok=True)
        port, controller = _free_ports(2)
        self.bootstrap_servers = f"127.0.0.1:{port}"
        _write_certificate(self._folder)
        text = _PROPERTIES.format(
            port=port, controller=controller, protocol=self.protocol, folder=self._folder, admin=uuid.uuid4().hex,
            password=self.password, oauth=",OAUTHBEARER" if self._tokens else "",
        )  # fmt: skip
        if self._tokens:
            text += _TOKENS.format(**asdict(self._tokens))
        (self._folder / "server.properties").write_text(text, encoding="utf-8")
        meta = self._folder / "data" / "meta.properties"
        if not meta.is_file():
            # What `kafka-storage format` writes, without the seconds of a second JVM.
            ids = [base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=") for _ in range(2)]
            meta.write_text(f"version=1\ncluster.id={ids[0]}\nnode.id=1\ndirectory.id={ids[1]}\n", encoding="utf-8")

    def _await_and_make_topics(self) -> None:
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient, NewTopic

        # Its own complaints, while the broker is not there yet, are of no interest.
        admin = AdminClient({**self.client_options(), "log_level": 0, "reconnect.backoff.max.ms": 500})
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                there = admin.list_topics(timeout=2).topics
                break
            except KafkaException as error:
                if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                    log = (self._folder / "broker.log").read_text(encoding="utf-8", errors="replace")
                    raise RuntimeError(f"the Kafka broker did not start: {error}\n{log[-4000:]}") from error
        missing = [NewTopic(name, count) for name, count in self._topics.items() if name not in there]
        for made in admin.create_topics(missing).values() if missing else ():
            made.result(timeout=30)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _write_certificate(folder: Path) -> None:
    """``ca.pem``, a certificate for loopback, and ``broker.pem``, the same with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca.pem").write_bytes(certificate)
    (folder / "broker.pem").write_bytes(private + certificate)
