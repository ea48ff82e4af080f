"""What labels change in the counts: +1 for the first, -1 and +1 for a correction. DataFrame → DataFrame, in the JVM.

The label of a prediction is the one with the highest (feedback_time, feedback_id) of those stored, whatever the order
in which they came. What a micro-batch adds is the difference between the label after it and the label before it, so
the sum over all micro-batches is the same in every order.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812

from pegel.schemas.events import LABEL

PREDICTION_COLUMNS = ("event_id", "event_time", "model", "version", "output", "segments")


def label_changes(
    stored_predictions: DataFrame, new_predictions: DataFrame, stored_labels: DataFrame, new_labels: DataFrame
) -> DataFrame:
    """The signed counts of a micro-batch's labels.

    Args:
        stored_predictions: of lower micro-batches, within the times of the new labels.
        new_predictions: of this micro-batch.
        stored_labels: of lower micro-batches, within the times of what is affected.
        new_labels: of this micro-batch.

    Returns:
        one row per prediction whose label changed: :data:`PREDICTION_COLUMNS`, ``labelled`` and ``correct`` (signed),
        and ``joined``: how many labels found their prediction in this micro-batch, ``waited``: how many of these had
        been stored before.
    """
    keys = new_labels.select("event_id", F.col("prediction_time").alias("event_time")).distinct()
    old = stored_predictions.join(F.broadcast(keys), ["event_id", "event_time"], "left_semi")
    affected = old.select(*PREDICTION_COLUMNS, F.lit(True).alias("known")).union(
        new_predictions.select(*PREDICTION_COLUMNS, F.lit(False).alias("known"))
    )
    labels = _keyed(stored_labels, old=True).union(_keyed(new_labels, old=False))
    joined = affected.join(labels, ["event_id", "event_time"])
    newest = F.max(F.struct("feedback_time", "feedback_id", "label"))
    # Only a prediction that was there before had a label before.
    before = F.max(F.when(F.col("known") & F.col("old"), F.struct("feedback_time", "feedback_id", "label")))
    found = F.count(F.when(~F.col("old") | ~F.col("known"), 1))
    waited = F.count(F.when(F.col("old") & ~F.col("known"), 1))
    ends = joined.groupBy("event_id", "event_time").agg(
        F.first("model").alias("model"),
        F.first("version").alias("version"),
        F.first("output").alias("output"),
        F.first("segments").alias("segments"),
        newest.alias("after"),
        before.alias("before"),
        found.alias("joined"),
        waited.alias("waited"),
    )
    return ends.select(
        *PREDICTION_COLUMNS,
        (1 - F.col("before").isNotNull().cast("int")).alias("labelled"),
        (_right("after") - _right("before")).alias("correct"),
        "joined",
        "waited",
    )


def labels_of(feedback: DataFrame) -> DataFrame:
    """The labels among feedback; ratings and judgements are stored, not joined."""
    return feedback.where(is_label())


def is_label() -> Column:
    """Whether a row of feedback is a label that can be joined."""
    return (F.col("kind") == LABEL) & F.col("label").isNotNull()


def _keyed(labels: DataFrame, *, old: bool) -> DataFrame:
    time = F.col("prediction_time").alias("event_time")
    return labels.select("event_id", time, "feedback_time", "feedback_id", "label", F.lit(old).alias("old"))


def _right(side: str) -> Column:
    return F.coalesce((F.col(f"{side}.label") == F.col("output")).cast("int"), F.lit(0))
