"""The Delta tables that the stream writes: what came in, what was counted, and what was decided on it. Pure.

See ``schemas/tables.py`` for what holds for all tables.
"""

from pegel.schemas.columns import Column, Table

MODEL = (
    Column("model", "string", "name of the registered model", nullable=False),
    Column("version", "string", "version of the model", nullable=False),
)
_SEGMENT = Column("segment", "string", "'*' for all events, else 'attribute=value'", nullable=False)
_WINDOW = (
    Column("window_start", "timestamp", "start of the half-open window of event time", nullable=False),
    Column("window_s", "int", "length of the window in seconds", nullable=False),
)
_BATCH = Column("batch_id", "bigint", "generation x 10^9 + Spark's own id of the micro-batch", nullable=False)
_SOURCE = (
    Column("hub", "string", "the event hub (Kafka topic) it came from", nullable=False),
    Column("partition", "string", "partition of the hub", nullable=False),
    Column("offset", "bigint", "sequence number in the partition", nullable=False),
    Column("enqueued_time", "timestamp", "when the hub took it", nullable=False),
)
# A log that is written every few seconds: checkpoint seldom, keep the log short, and index only the first columns.
# Whoever appends lists the log: with a day of it, 28,800 entries, that takes a quarter of a second of a core, with an
# hour of it a hundredth. Delta refuses a log that is kept for less time than deleted files are, so both are an hour,
# which is longer than any single query of a table takes.
HOT = {
    "delta.checkpointInterval": "100",
    "delta.logRetentionDuration": "interval 1 hours",
    "delta.deletedFileRetentionDuration": "interval 1 hours",
}


def _indexed_by(*columns: str) -> dict[str, str]:
    """The same, and only these columns are indexed: else Delta's log would hold the beginnings of texts and ids."""
    return HOT | {"delta.dataSkippingStatsColumns": ",".join(columns)}


PREDICTIONS = Table(
    "predictions",
    "a valid prediction event, masked, first seen, with its source coordinates",
    ("event_id",),
    "stream",
    (
        Column("event_id", "string", "unique id made by the producer; a copy carries the same", nullable=False),
        Column("event_time", "timestamp", "when the prediction was made", nullable=False),
        _BATCH,
        *MODEL,
        Column("prompt_version", "string", "version of the prompt"),
        Column("input", "string", "the text that was asked, masked"),
        Column("features", "map<string,string>", "named inputs; numbers and categories alike, as they were written"),
        Column("output", "string", "the answer or class, masked"),
        Column("probabilities", "map<string,double>", "class -> probability"),
        Column("segments", "map<string,string>", "attribute -> value, by which roll-ups are made"),
        Column("latency_ms", "double", "time to answer"),
        Column("error_type", "string", "error.type: set if the call failed"),
        Column("request_model", "string", "gen_ai.request.model"),
        Column("input_tokens", "bigint", "gen_ai.usage.input_tokens"),
        Column("output_tokens", "bigint", "gen_ai.usage.output_tokens"),
        Column("trace_id", "string", "trace of the call"),
        *_SOURCE,
        Column("extra", "map<string,string>", "fields that this version does not know, kept"),
        Column("input_characters", "int", "how long the masked input was, where it is not stored as text"),
        Column("input_words", "int", "how many words it had, likewise"),
        Column("output_characters", "int", "the same of the output"),
        Column("output_words", "int", "the same of the output"),
    ),
    _indexed_by("event_time", "batch_id", "enqueued_time", "offset"),
)

FEEDBACK = Table(
    "feedback",
    "a label, rating or judgement about an earlier prediction",
    ("feedback_id",),
    "stream",
    (
        Column("feedback_id", "string", "unique id made by the producer", nullable=False),
        Column("event_id", "string", "the prediction it is about", nullable=False),
        Column("prediction_time", "timestamp", "event time of that prediction", nullable=False),
        Column("feedback_time", "timestamp", "when it was given", nullable=False),
        _BATCH,
        Column("kind", "string", "label, rating or judgement", nullable=False),
        Column("label", "string", "the true class or answer"),
        Column("score", "double", "a rating or a judge's score"),
        Column("source", "string", "who gave it"),
        *_SOURCE,
        Column("extra", "map<string,string>", "fields that this version does not know, kept"),
    ),
    _indexed_by("prediction_time", "feedback_time", "batch_id", "enqueued_time", "offset"),
)

DEAD_LETTERS = Table(
    "dead_letters",
    "a refused event, with the reason and its whole masked body",
    ("hub", "partition", "offset", "batch_id"),
    "stream",
    (
        _BATCH,
        *_SOURCE,
        Column("reason", "string", "reason code, see schemas/events.py", nullable=False),
        Column("detail", "string", "which field, in words"),
        Column("sha256", "string", "of the body as it came, hexadecimal", nullable=False),
        Column("body", "string", "the body, masked, bytes that are not UTF-8 replaced; null if larger than 1 MiB"),
    ),
    _indexed_by("batch_id", "enqueued_time", "offset"),
)

# What one partial counts. Numeric cells are 0..1023; the codes below 0 are in schemas/grids.py.
NUMERIC = "map<string,struct<cells:map<int,bigint>,sum_q:bigint,sum_q2:bigint>>"
CATEGORICAL = "map<string,map<string,bigint>>"

PROFILES = Table(
    "profiles",
    "a partial: what one micro-batch adds to one window and segment; signed integers that add up. Beyond the replay "
    "retention: the sum of many, see maintain.md",
    ("model", "version", "segment", "window_start", "window_s", "grid", "batch_id", "kind"),
    "stream",
    (
        *MODEL,
        _SEGMENT,
        *_WINDOW,
        Column("grid", "string", "id of the grid that the cells are of", nullable=False),
        _BATCH,
        Column("kind", "string", "live, feedback or backfill; only live partials make blocks", nullable=False),
        Column("first_enqueued", "timestamp", "lowest enqueued time in it"),
        Column("last_enqueued", "timestamp", "highest enqueued time in it"),
        Column("counts", "map<string,bigint>", "events, errors, labelled, correct, input_tokens, output_tokens, ..."),
        Column("numeric", NUMERIC, "column -> cells with a count, and sums of q = round(1024 (x - center) / scale)"),
        Column("categorical", CATEGORICAL, "column -> name -> count"),
    ),
    HOT,
)

BATCHES = Table(
    "batches",
    "one micro-batch, written last: the commit mark",
    ("query_id", "batch_id"),
    "stream",
    (
        Column("query_id", "string", "id in the checkpoint's metadata", nullable=False),
        _BATCH,
        Column("generation", "bigint", "one per checkpoint", nullable=False),
        Column(
            "offsets",
            "array<struct<hub:string,partition:string,first:bigint,last:bigint,count:bigint,last_enqueued:timestamp>>",
            "what was read, per partition, both ends inclusive",
            nullable=False,
        ),
        Column("received", "bigint", "prediction events read", nullable=False),
        Column("stored", "bigint", "of these, stored", nullable=False),
        Column("dead_letters", "bigint", "of these, refused", nullable=False),
        Column("duplicates", "bigint", "of these, seen before", nullable=False),
        Column("in_partials", "bigint", "events in the all-segment partials of this batch", nullable=False),
        Column("feedback_received", "bigint", "feedback events read", nullable=False),
        Column("feedback_stored", "bigint", "of these, stored", nullable=False),
        Column("feedback_dead_letters", "bigint", "of these, refused", nullable=False),
        Column("feedback_duplicates", "bigint", "of these, seen before", nullable=False),
        Column("matched", "bigint", "labels joined to a prediction in this batch, earlier unmatched ones included"),
        Column("unmatched", "bigint", "labels of this batch whose prediction is not there yet"),
        Column("joined_later", "bigint", "of the matched, those that earlier batches left unmatched"),
        Column("started_at", "timestamp", "when the batch began"),
        Column("committed_at", "timestamp", "when this row was made"),
        Column("code_version", "string", "version of Pegel"),
    ),
    HOT,
)

GAPS = Table(
    "gaps",
    "numbers of a partition that were not read, although later ones were",
    ("query_id", "batch_id", "hub", "partition", "first_offset"),
    "stream",
    (
        Column("query_id", "string", "id in the checkpoint's metadata", nullable=False),
        Column("batch_id", "bigint", "the micro-batch with the next event behind them", nullable=False),
        Column("hub", "string", "the event hub (Kafka topic)", nullable=False),
        Column("partition", "string", "partition of the hub", nullable=False),
        Column("first_offset", "bigint", "the first that is missing", nullable=False),
        Column("last_offset", "bigint", "the last that is missing", nullable=False),
        Column(
            "cause",
            "string",
            "'expired': the hub let these events go before they were read; 'no_event': no event ever had these numbers",
            nullable=False,
        ),
        Column("oldest_offset", "bigint", "if they expired: the oldest event that the hub held when it was asked"),
        Column("found_at", "timestamp", "when they were missed"),
    ),
)

BLOCKS = Table(
    "blocks",
    "a closed arrival block and what the sequential tests said of it",
    ("model", "version", "segment", "block_no"),
    "stream",
    (
        *MODEL,
        _SEGMENT,
        Column("block_no", "bigint", "from 0, in order", nullable=False),
        _BATCH,
        Column("first_batch_id", "bigint", "first micro-batch in it", nullable=False),
        Column("last_batch_id", "bigint", "last micro-batch in it", nullable=False),
        Column("n", "bigint", "events in it", nullable=False),
        Column("last_enqueued", "timestamp", "highest enqueued time in it", nullable=False),
        Column("baseline_id", "string", "what it was compared with"),
        Column("grid", "string", "the grid of its cells", nullable=False),
        Column(
            "verdicts",
            "array<struct<column:string,rang:boolean,calibrated:boolean,lag:int,n:bigint,statistic:double,"
            "threshold:double,p_value:double,effect:double,direction:string>>",
            "one per column, at its worst lag",
            nullable=False,
        ),
        Column("state", "string", "state of the sequential tests after it, as JSON", nullable=False),
        Column(
            "rates",
            "array<struct<column:string,rang:boolean,calibrated:boolean,lag:int,n:bigint,hits:bigint,statistic:double,"
            "threshold:double,p_value:double,effect:double,lower:double,upper:double,baseline_n:bigint,"
            "baseline_hits:bigint,bound:double,since:timestamp,pooled_first_batch_id:bigint>>",
            "one per rate that is judged, such as error_rate, over the blocks since its likeliest onset",
        ),
    ),
    HOT,
)

METRICS = Table(
    "metrics",
    "one number about one final window",
    ("model", "version", "segment", "column", "metric", "window_start", "window_s", "baseline_id", "revision"),
    "stream",
    (
        *MODEL,
        _SEGMENT,
        Column("column", "string", "'' for numbers about the whole event", nullable=False),
        Column("metric", "string", "its name, see streaming/watch", nullable=False),
        *_WINDOW,
        Column("baseline_id", "string", "'' where nothing is compared", nullable=False),
        Column("revision", "bigint", "highest batch_id that touched the window", nullable=False),
        _BATCH,
        Column("value", "double", "the number; null where it is not defined"),
        Column("n", "bigint", "events behind it", nullable=False),
        Column("lower", "double", "lower end of its 95 % interval"),
        Column("upper", "double", "upper end of its 95 % interval"),
        Column("p_value", "double", "under 'no drift', at this n"),
        Column("effect", "double", "size of the shift in baseline standard deviations"),
        Column("label_completeness", "double", "labelled events over events, 0 to 1"),
        Column("calibrated", "boolean", "whether the p-value keeps the false-alarm budget"),
        Column(
            "judged",
            "struct<rang:boolean,calibrated:boolean,lag:int,n:bigint,hits:bigint,statistic:double,threshold:double,"
            "p_value:double,effect:double,lower:double,upper:double,baseline_n:bigint,baseline_hits:bigint,bound:double,"
            "since:timestamp,pooled_first_batch_id:bigint,label_completeness:double,events:bigint,"
            "first_batch_id:bigint,wrong:bigint,sums:array<double>>",
            "of judged_accuracy: what the detector said of the labels that call an answer wrong, in the windows since "
            "the likeliest onset, and what a restart needs",
        ),
    ),
    HOT,
)

ALERTS = Table(
    "alerts",
    "one transition of an incident, with its lineage",
    ("alert_id",),
    "stream",
    (
        Column("alert_id", "string", "hash of incident and sequence", nullable=False),
        Column("incident_id", "string", "hash of model, rule and the batch that opened it", nullable=False),
        Column("sequence", "int", "1, 2, ... within the incident", nullable=False),
        Column("state", "string", "opened, confirmed, retracted or resolved", nullable=False),
        _BATCH,
        Column("rule", "string", "name of the rule in the policy", nullable=False),
        *MODEL,
        _SEGMENT,
        Column("column", "string", "the column that rang loudest", nullable=False),
        Column("columns", "array<string>", "every column that rang", nullable=False),
        Column("severity", "int", "0 (worst) to 4, as in Azure Monitor", nullable=False),
        Column("action", "string", "page, retrain or none", nullable=False),
        Column("value", "double", "the statistic"),
        Column("threshold", "double", "what it had to pass"),
        Column("effect", "double", "size of the shift in baseline standard deviations"),
        Column("p_value", "double", "under 'no drift', at this n"),
        Column("n", "bigint", "events behind it"),
        Column("calibrated", "boolean", "whether it keeps the false-alarm budget"),
        Column("baseline_id", "string", "what it was compared with"),
        Column("first_batch_id", "bigint", "first micro-batch of the evidence", nullable=False),
        Column("last_batch_id", "bigint", "last micro-batch of the evidence", nullable=False),
        Column("since", "timestamp", "estimated onset, in event time"),
        Column("window_end", "timestamp", "end of the last window of the evidence"),
        Column(
            "windows",
            "array<struct<start:timestamp,window_s:int>>",
            "base windows of the evidence, which confirm or retract it once they are final",
            nullable=False,
        ),
        Column("event_time", "timestamp", "of the newest event of the evidence"),
        Column("enqueued_time", "timestamp", "of the newest event of the evidence"),
        Column("stored_time", "timestamp", "when its batch was stored"),
        Column("decided_time", "timestamp", "when this was decided", nullable=False),
        Column("title", "string", "what happened, in words", nullable=False),
        Column("message", "string", "what, how large, since when, what happens next", nullable=False),
        Column("runbook", "string", "page of the runbook", nullable=False),
        Column("policy_hash", "string", "of the policy that decided", nullable=False),
        Column("code_version", "string", "version of Pegel", nullable=False),
        Column("inhibited_by", "string", "the open incident of the pipeline because of which it is not sent"),
        Column("settings_hash", "string", "of the settings that decide beside the policy, see conf/deciding.py"),
        Column("cause", "string", "once confirmed: why, see schemas/diagnosis.py"),
        Column("owner", "string", "whom the cause calls beside those who are on call for the model"),
        Column(
            "findings",
            "array<struct<kind:string,subject:string,share:double,n:bigint,usual:double,usual_n:bigint,lower:double,"
            "upper:double>>",
            "what speaks for the cause: shares now and usually, see docs/diagnosis.md",
        ),
    ),
    HOT,
)
