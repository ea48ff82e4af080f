"""The Delta tables of everything beside the stream: baselines, deliveries, retrainings, audit. Pure.

See ``schemas/tables.py`` for what holds for all tables.
"""

import re

from pegel.errors import ContractError
from pegel.schemas.audit import WRITER_NAME
from pegel.schemas.columns import Column, Table
from pegel.schemas.stream_tables import ALERTS, CATEGORICAL, HOT, MODEL, NUMERIC

GRIDS = Table(
    "grids",
    "the columns of a model and the frozen cells that each is counted in",
    ("grid",),
    "registration",
    (
        Column("grid", "string", "hash of the content", nullable=False),
        Column("model", "string", "name of the registered model", nullable=False),
        Column("created_at", "timestamp", "when it was learned", nullable=False),
        Column(
            "columns",
            "array<struct<name:string,kind:string,source:string,drift:boolean,center:double,scale:double,"
            "categories:array<string>>>",
            "see schemas/grids.py",
            nullable=False,
        ),
    ),
)

BASELINES = Table(
    "baselines",
    "what a model version is compared with; immutable",
    ("baseline_id",),
    "registration",
    (
        Column("baseline_id", "string", "hash of the content", nullable=False),
        *MODEL,
        Column("grid", "string", "the grid that it is counted on", nullable=False),
        Column("created_at", "timestamp", "when it was made", nullable=False),
        Column("source", "string", "which data, in words", nullable=False),
        Column("counts", "map<string,bigint>", "as in profiles", nullable=False),
        Column("numeric", NUMERIC, "as in profiles", nullable=False),
        Column("categorical", CATEGORICAL, "as in profiles", nullable=False),
    ),
)

PIPELINE_ALERTS = Table(
    "pipeline_alerts",
    "a transition of an incident about the stream itself, decided beside it; the columns are those of alerts",
    ("alert_id",),
    "deliver",
    ALERTS.columns,
)

DELIVERIES = Table(
    "deliveries",
    "a step of an attempt to deliver an alert, and its receipt",
    ("alert_id", "sink", "attempt", "state"),
    "deliver",
    (
        Column("alert_id", "string", "the alert", nullable=False),
        Column("sink", "string", "azure_monitor, jsonl, ...", nullable=False),
        Column("attempt", "int", "1, 2, ...", nullable=False),
        Column("state", "string", "claimed, sent, failed, dead, withheld, or again: a person asked", nullable=False),
        Column("at", "timestamp", "when", nullable=False),
        Column("detail", "string", "receipt or error, in words"),
        Column("audit_heads", "string", "of a claim: the heads of the audit chains that go out with it, as JSON"),
    ),
)

WEBHOOK_CALLS = Table(
    "webhook_calls",
    "a call that the webhook accepted, stored before it was answered, and what came of it",
    ("call_id", "outcome", "detail"),
    "webhook",
    (
        Column("call_id", "string", "hash of alertId and monitorCondition", nullable=False),
        Column("received_at", "timestamp", "when", nullable=False),
        Column("azure_alert_id", "string", "essentials.alertId", nullable=False),
        Column("condition", "string", "Fired or Resolved", nullable=False),
        Column(
            "alert_rule",
            "string",
            "essentials.alertRule; signed:pegel or reconciled:alerts where no rule called",
            nullable=False,
        ),
        Column("model", "string", "dimension model", nullable=False),
        Column("incident_id", "string", "dimension incident_id", nullable=False),
        Column("outcome", "string", "proposed, stored, started, duplicate, ignored or failed", nullable=False),
        Column("run_id", "string", "of the job run it started"),
        Column("detail", "string", "why, in words"),
    ),
)

SILENCES = Table(
    "silences",
    "what a person does not want to hear of: a silence begins or is ended early, or an incident is acknowledged",
    ("silence_id", "wish"),
    "webhook",
    (
        Column(
            "silence_id", "string", "made up by who asks, so that a copy of a call asks for nothing", nullable=False
        ),
        Column("wish", "string", "silence, end or acknowledge", nullable=False),
        Column("at", "timestamp", "when it was asked for; a silence begins then", nullable=False),
        Column("until", "timestamp", "when a silence ends by itself"),
        Column("model", "string", "of a silence: of which model, '*' for all"),
        Column("rule", "string", "of a silence: of which rule, '*' for all"),
        Column("incident_id", "string", "the incident that is acknowledged"),
        Column("by", "string", "the name that the person gave", nullable=False),
        Column("reason", "string", "why, in the person's words", nullable=False),
    ),
)

RETRAININGS = Table(
    "retrainings",
    "the states of one retraining",
    ("incident_id", "attempt", "state"),
    "retrain",
    (
        Column("incident_id", "string", "the incident that asked for it", nullable=False),
        Column("attempt", "int", "1, 2, ...", nullable=False),
        Column(
            "state",
            "string",
            "started, trained, rejected, promoted, proving, proven, rolled_back, failed",
            nullable=False,
        ),
        Column("at", "timestamp", "when", nullable=False),
        Column("model", "string", "name of the registered model", nullable=False),
        Column("champion", "string", "version that served when it started"),
        Column("challenger", "string", "version that it made"),
        Column("batch_id_max", "bigint", "rows with batch_id up to here were used"),
        Column("training_rows", "bigint", "how many"),
        Column("checksum", "string", "of their ids, in order"),
        Column("champion_quality", "double", "on the rows that neither was trained on"),
        Column("challenger_quality", "double", "on the same rows"),
        Column("detail", "string", "why, in words"),
    ),
)

PROMOTIONS = Table(
    "promotions",
    "a move of the champion",
    ("model", "expected_version"),
    "promoters",
    (
        Column("model", "string", "name of the registered model", nullable=False),
        Column("expected_version", "string", "the champion before; '' for the first", nullable=False),
        Column("new_version", "string", "the champion after", nullable=False),
        Column("at", "timestamp", "when", nullable=False),
        Column("by", "string", "who: the incident, or a person", nullable=False),
        Column("reason", "string", "first, promoted or rolled_back", nullable=False),
    ),
)

REQUEUES = Table(
    "requeues",
    "a state of a dead letter while it was sent to its hub again",
    ("hub", "partition", "offset", "run", "state"),
    "dead-letters",
    (
        Column("hub", "string", "where the dead letter lies, and where it was sent", nullable=False),
        Column("partition", "string", "partition of the hub", nullable=False),
        Column("offset", "bigint", "sequence number in the partition", nullable=False),
        Column("run", "bigint", "of the requeue: 1, 2, ...", nullable=False),
        Column(
            "state", "string", "claimed, sent, gone, other or too_large; see schemas/dead_letters.py", nullable=False
        ),
        Column("source", "string", "what was sent: stored, the masked body, or hub, the event as it lies there"),
        Column("at", "timestamp", "when", nullable=False),
    ),
)

AUDIT_PREFIX = "audit_events_"

_WRITER = re.compile(WRITER_NAME)


def audit_table(writer: str) -> Table:
    """The table of one writer's audit chain; see ``schemas/audit.py`` for what a record is.

    Args:
        writer: its name: a small letter, then small letters, digits and ``_``, at most 40 in all.

    Raises:
        ContractError: if the name is another one; it becomes a part of a path.

    Example:
        >>> audit_table("serve").name
        'audit_events_serve'
    """
    if not _WRITER.fullmatch(writer):
        msg = f"{writer!r} is no name of an audit writer; use small letters, digits and _, beginning with a letter"
        raise ContractError(msg)
    return Table(
        AUDIT_PREFIX + writer,
        "a decision of this writer: who or what decided what, on which evidence; a link of a hash chain",
        ("sequence",),
        writer,
        (
            Column("sequence", "bigint", "from 0, without gaps", nullable=False),
            Column("at", "timestamp", "when it was decided", nullable=False),
            Column("actor", "string", "who or what decided or asked", nullable=False),
            Column("action", "string", "what was asked for", nullable=False),
            Column("subject", "string", "what it is about", nullable=False),
            Column("decision", "string", "what was decided, in one word", nullable=False),
            Column("reason", "string", "why, in words", nullable=False),
            Column("evidence", "string", "what it rests on, as canonical JSON", nullable=False),
            Column("previous_hash", "string", "hash of the record before; 64 zeros at the first", nullable=False),
            Column("hash", "string", "SHA-256 of writer and all columns before, hexadecimal", nullable=False),
        ),
        HOT,
    )
