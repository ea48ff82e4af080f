"""The settings and their types: frozen, unknown keys refused, units in the names. Pure."""

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from pegel.conf.audit_settings import AuditSettings, AuditWriter
from pegel.conf.delivery_settings import DeliverySettings
from pegel.conf.fairness_settings import FairnessSettings
from pegel.conf.masking_settings import MaskingSettings
from pegel.conf.openai_settings import OpenAiSettings
from pegel.conf.retention_settings import RetentionSettings
from pegel.conf.secret_ref import SecretRef
from pegel.conf.section import Section as _Section


class StorageSettings(_Section):
    """Where the tables lie: a folder or a URI that Spark and ``deltalake`` both understand."""

    root: str = ".pegel/tables"
    checkpoint: str | None = None
    options: dict[str, str | SecretRef] = Field(default_factory=dict)
    """What ``deltalake`` needs beside the root, e.g. ``azure_tenant_id``; a value may be a secret reference."""
    entra: bool = False
    """Whether ``deltalake`` shows a token of Entra (``DefaultAzureCredential``), which is what ``abfss://`` takes."""

    @property
    def checkpoint_location(self) -> str:
        """Where the streaming checkpoint lies: ``checkpoint``, or ``_checkpoints/stream`` under the root."""
        return self.checkpoint or f"{self.root.rstrip('/')}/_checkpoints/stream"


class EventHubsSettings(_Section):
    """Event Hubs over AMQP, by the ``azure-eventhub`` SDK. The namespace's connection string, without EntityPath."""

    connection_string: SecretRef = SecretRef(env="PEGEL_EVENTHUBS_CONNECTION_STRING")
    namespace: str = ""
    """The namespace's host, e.g. ``pegel.servicebus.windows.net``: Entra then says who asks, on every executor too
    (``DefaultAzureCredential``), and there is no connection string."""
    consumer_group: str = "$Default"
    starting_position: Literal["earliest", "latest"] = "earliest"
    """Where a new checkpoint starts."""
    fail_on_data_loss: bool = True
    """Whether the stream stops when the hub let events go that were not read yet; else it goes on, and the table
    ``gaps`` says which."""
    receive_timeout_seconds: int = Field(default=60, gt=0)
    """How long a hub that is silent or away is waited for."""


class KafkaOauthSettings(_Section):
    """Entra says who reads: the application signs in by itself and shows its tokens (SASL OAUTHBEARER)."""

    token_endpoint: str = ""
    """``https://login.microsoftonline.com/TENANT/oauth2/v2.0/token``, or ``file:///…``: a file with a token, which
    whoever knows the identity keeps fresh. Empty: there is no sign-in, but a connection string."""
    client_id: str = ""
    client_secret: SecretRef = SecretRef(env="PEGEL_EVENTHUBS_CLIENT_SECRET")
    scope: str = ""
    """Empty: ``https://NAMESPACE.servicebus.windows.net/.default``, from the first of ``bootstrap_servers``."""


class KafkaSettings(_Section):
    """Event Hubs' Kafka endpoint (or any Kafka), by Spark's own source."""

    bootstrap_servers: str = ""
    security_protocol: Literal["SASL_SSL", "SASL_PLAINTEXT"] = "SASL_SSL"
    connection_string: SecretRef = SecretRef(env="PEGEL_EVENTHUBS_CONNECTION_STRING")
    service_credential: str = ""
    """On Databricks: the Unity Catalog service credential to read with, instead of a connection string."""
    oauth: KafkaOauthSettings = KafkaOauthSettings()
    truststore_pem: str | None = None


class FilesSettings(_Section):
    """JSON Lines in folders: ``<path>/predictions`` and ``<path>/feedback``."""

    path: str = ""
    max_files_per_trigger: int = Field(default=10, gt=0)


class BackfillSettings(FilesSettings):
    """Old events as JSON Lines, ``<path>/predictions/*.jsonl`` and ``<path>/feedback/*.jsonl``, beside the live ones.

    They restate windows and never ring. A checkpoint belongs to the sources that it began with: naming a path, or
    naming none any more, needs a new ``storage.checkpoint``; what it reads again is found to be copies.
    """

    path: str = ""
    """A folder or a URI that Spark understands; empty: there is no backfill."""
    max_files_per_trigger: int = Field(default=1, gt=0)


class SourceSettings(_Section):
    """Where events come from."""

    kind: Literal["eventhubs", "kafka", "files"] = "eventhubs"
    predictions_hub: str = "predictions"
    feedback_hub: str = "feedback"
    max_events_per_trigger: int = Field(default=20_000, gt=0)
    eventhubs: EventHubsSettings = EventHubsSettings()
    kafka: KafkaSettings = KafkaSettings()
    files: FilesSettings = FilesSettings()
    backfill: BackfillSettings = BackfillSettings()


class IngestSettings(_Section):
    """How micro-batches are made and checked."""

    trigger_seconds: float = Field(default=3.0, gt=0)
    window_seconds: int = Field(default=10, gt=0)
    future_tolerance_seconds: int = Field(default=300, ge=0)
    segment_attributes: tuple[str, ...] = ()
    segment_cap: int = Field(default=50, gt=0)
    max_category_names: int = Field(default=500, gt=0)
    collect_events: int = Field(default=20_000, ge=0)
    """Micro-batches of up to so many events are written by the driver, larger ones by Spark; 0: all by Spark."""


class WatchSettings(_Section):
    """How blocks close, windows become final, and verdicts become calibrated."""

    block_min_events: int = Field(default=100, gt=0)
    block_max_seconds: float = Field(default=10.0, gt=0)
    allowed_lateness_seconds: float = Field(default=5.0, ge=0)
    idle_partition_seconds: float = Field(default=30.0, gt=0)
    window_seconds: tuple[int, ...] = (10, 60, 3600)
    learn_blocks: int = Field(default=1000, ge=100)
    """From so many blocks without drift a key learns how much its blocks differ; until then it is uncalibrated."""
    learn_hours: float = Field(default=96.0, ge=0)
    """They span at least so long: by default four days, so that the rhythm of the day is among what is learned."""
    accuracy_window_seconds: int = Field(default=60, gt=0)
    """Of windows so long the accuracy is judged, each once, in the order of event time. They are reported, too."""
    label_completeness: float = Field(default=0.5, gt=0, le=1)
    """They are judged once so large a share of the events, of the oldest windows together, has a label."""
    label_wait_hours: float = Field(default=24.0, gt=0)
    """So long after its end a window is judged by the labels that it has; without any it never is."""
    policy: str = "policy.yml"

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths of all windows that are reported, in seconds, ascending."""
        return tuple(sorted({*self.window_seconds, self.accuracy_window_seconds}))


class MlflowSettings(_Section):
    """The tracking server and registry. ``sqlite:///…`` needs no server."""

    tracking_uri: str = "sqlite:///.pegel/mlflow.db"
    registry_uri: str | None = None
    artifact_location: str | None = None
    """Where models and rows lie; without it, ``mlflow-artifacts`` beside a sqlite store, else as the server says."""
    experiment: str = "pegel"

    @property
    def effective_registry_uri(self) -> str:
        """``registry_uri``, or what goes with the tracking server: on Databricks Unity Catalog, else the server."""
        databricks = self.tracking_uri.startswith("databricks")
        return self.registry_uri or ("databricks-uc" if databricks else self.tracking_uri)

    @staticmethod
    def client_environment(timeout_seconds: int, retries: int) -> dict[str, str]:
        """What mlflow reads from the environment; its own patience (7 retries of 120 s) would hold a job too long."""
        return {
            "MLFLOW_HTTP_REQUEST_TIMEOUT": str(timeout_seconds),
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(retries),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            # The requirements are written down; checking them against this environment takes seconds.
            "MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK": "true",
        }


class ModelSettings(_Section):
    """The model that is served, watched and retrained."""

    name: str = "assistant"
    kind: Literal["text_classifier", "openai_prompt", "openai_fine_tuned"] = "text_classifier"
    """What a retraining makes: a scikit-learn classifier, the next version of a prompt, or a fine-tuned deployment."""
    champion_alias: str = "champion"
    previous_alias: str = "previous"


class TokenSettings(_Section):
    """Whose bearer tokens are taken: of one issuer, for one audience; for Entra the v2 issuer of the tenant."""

    jwks_url: str = ""
    jwks_ca_file: str | None = None
    """A CA to trust for ``jwks_url`` alone; without it the machine's own."""
    issuer: str = ""
    audience: str = ""


Mode = Literal["observe", "propose", "auto"]


class WebhookSettings(TokenSettings):
    """The intake of alerts: where it listens, and whose tokens it takes.

    With `secrets` it also takes the signed calls of the sink `webhook` of `pegel deliver`; two secrets while one
    replaces the other. `reconcile_after_seconds` after an incident was confirmed, a call that has not come counts as
    lost, and what it would have started is started.

    `mode` says what a right call leads to: `observe` to a row in `webhook_calls`, `propose` to a retraining once a
    person approves it (`pegel approve`, signed with one of `approver_secrets`), `auto` to a retraining at once.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8711, ge=0, le=65535)
    rules: tuple[str, ...] = ("pegel-retrain",)
    """The alert rules whose Fired calls start a retraining."""
    caller: str = "461e8683-5575-4561-ac7f-899cc907d62a"
    """Who calls: the application *AzNS AAD Webhook*, which is the same in every tenant."""
    role: str = "ActionGroupsSecureWebhook"
    """The application role that the caller needs."""
    mode: Mode = "propose"
    secrets: tuple[SecretRef, ...] = Field(default=(), max_length=2)
    approver_secrets: tuple[SecretRef, ...] = Field(default=(), max_length=2)
    reconcile_after_seconds: float = Field(default=600.0, gt=0)
    cooldown_seconds: float = Field(default=21_600.0, ge=0)
    """After a retraining of a model has ended, the next one starts so much later, if its incident still asks for it."""
    daily_cap: int = Field(default=3, gt=0)
    """So many retrainings of a model may start within 24 hours."""
    run_limit_seconds: float = Field(default=21_600.0, gt=0)
    """One at a time: a retraining that has not ended for so long counts as dead. The job's own time-out is as long."""


class DatabricksSettings(_Section):
    """The job service. ``token`` is for a personal access token; without it the SDK's own chain is asked."""

    host: str = ""
    token: SecretRef | None = None
    entra: bool = False
    """Whether to ask with a token of Entra (``DefaultAzureCredential``), as a managed identity has to."""
    retrain_job_id: int = 0


class ServingSettings(_Section):
    """``/predict``: where it listens, whom it lets in, what it bears, and what it does while the hub is down."""

    host: str = "127.0.0.1"
    """Other than loopback only if the usage policy names callers."""
    port: int = Field(default=8710, ge=0, le=65535)
    policy: str = "policy.yml"
    """The file whose section ``usage`` says who may ask for what."""
    tokens: TokenSettings = TokenSettings()
    """Whose Entra tokens are taken, if a caller of the usage policy has any."""
    audit_writer: AuditWriter = "serve"
    """Its decisions go into ``audit_events_<audit_writer>``; several processes need a name each."""
    poll_seconds: float = Field(default=1.0, gt=0)
    spool: str = ".pegel/spool"
    flush_seconds: float = Field(default=0.2, gt=0)
    max_buffered_events: int = Field(default=20_000, gt=0)
    max_text_characters: int = Field(default=20_000, gt=0)
    max_batch_inputs: int = Field(default=64, gt=0)
    """How many texts one request may hold."""
    body_seconds: float = Field(default=10.0, gt=0)
    """How long a body may take to arrive; then 408."""
    answer_seconds: float = Field(default=60.0, gt=0)
    """How long an answer may take; then 504."""
    workers: int = Field(default=32, gt=0)
    """How many models' answers are waited for at the same time."""
    max_under_way: int = Field(default=256, gt=0)
    """How many requests may be under way or wait for a worker; more are told to come back: 503."""
    trace_share: float = Field(default=0.01, ge=0, le=1)
    """The share of predictions whose trace goes to MLflow, masked and cut; 0 for none."""
    max_waiting_traces: int = Field(default=1000, gt=0)
    """How many traces may wait while MLflow is slow or down; more are dropped and counted."""


class RetrainSettings(_Section):
    """What a retraining needs, and what the challenger has to reach."""

    min_labelled_rows: int = Field(default=500, gt=0)
    min_rows_after_drift: int = Field(default=500, gt=0)
    wait_for_labels_seconds: float = Field(default=900.0, ge=0)
    holdout_share: float = Field(default=0.3, gt=0, lt=1)
    quality_margin: float = Field(default=0.0, ge=0)
    proof_windows: int = Field(default=6, gt=0)
    proof_quality_margin: float = Field(default=0.05, ge=0)
    proof_timeout_seconds: float = Field(default=3600.0, gt=0)
    proof_min_effect: float = Field(default=0.1, ge=0)
    proof_max_loud_share: float = Field(default=0.2, ge=0, le=1)
    poll_seconds: float = Field(default=2.0, gt=0)


class DashboardSettings(_Section):
    """Where the pages are served, how far back they look, and when they call something late."""

    host: str = "127.0.0.1"
    port: int = Field(default=8712, ge=0, le=65535)
    hours: float = Field(default=6.0, gt=0)
    refresh_seconds: float = Field(default=3.0, gt=0)
    stale_seconds: float = Field(default=60.0, gt=0)
    lag_seconds: float = Field(default=30.0, gt=0)


class Settings(_Section):
    """Everything, by concern."""

    storage: StorageSettings = StorageSettings()
    source: SourceSettings = SourceSettings()
    ingest: IngestSettings = IngestSettings()
    masking: MaskingSettings = MaskingSettings()
    watch: WatchSettings = WatchSettings()
    retention: RetentionSettings = RetentionSettings()
    mlflow: MlflowSettings = MlflowSettings()
    model: ModelSettings = ModelSettings()
    openai: OpenAiSettings = OpenAiSettings()
    delivery: DeliverySettings = DeliverySettings()
    webhook: WebhookSettings = WebhookSettings()
    databricks: DatabricksSettings = DatabricksSettings()
    serving: ServingSettings = ServingSettings()
    retrain: RetrainSettings = RetrainSettings()
    fairness: FairnessSettings = FairnessSettings()
    dashboard: DashboardSettings = DashboardSettings()
    audit: AuditSettings = AuditSettings()
    spark: dict[str, str] = Field(default_factory=dict)
    """More Spark configuration, e.g. ``spark.driver.memory``."""

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        if any(seconds % self.ingest.window_seconds for seconds in self.watch.lengths):
            msg = (
                f"watch.window_seconds and accuracy_window_seconds {self.watch.lengths} must be multiples of "
                f"ingest.window_seconds {self.ingest.window_seconds}, since longer windows are sums of the base windows"
            )
            raise ValueError(msg)
        if self.dashboard.hours > 24 * self.retention.replay_days:
            msg = (
                f"dashboard.hours {self.dashboard.hours:g} must lie within retention.replay_days "
                f"{self.retention.replay_days}, since of what is older only whole minutes are left"
            )
            raise ValueError(msg)
        if self.serving.audit_writer not in self.audit.writers:
            msg = (
                f"serving.audit_writer {self.serving.audit_writer!r} must be one of audit.writers "
                f"{self.audit.writers}, since only those are anchored and verified"
            )
            raise ValueError(msg)
        return self

    @property
    def audit_spool(self) -> Path:
        """Where audit records wait for their table, see :class:`AuditSettings`."""
        if self.audit.spool is not None:
            return Path(self.audit.spool)
        return Path(".pegel/audit") if "://" in self.storage.root else Path(self.storage.root) / "_audit"

    @property
    def fingerprint(self) -> str:
        """A hash of all settings; secrets are references, so it holds none."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]
