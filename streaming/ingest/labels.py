"""What labels change in the counts: +1 for the first, -1 and +1 for a correction. DataFrame → DataFrame, in the JVM.

The label of a prediction is the one with the highest (feedback_time, feedback_id) of those stored, whatever the order
in which they came. What a micro-batch adds is the difference between the label after it and the label before it, so
the sum over all micro-batches is the same in every order.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812

from pegel.schemas.events import LABEL

PREDICTION_COLUMNS = ("event_id", "event_time", "model", "version", "output", "segments")
LABEL_COLUMNS = ("event_id", "prediction_time", "feedback_time", "feedback_id", "kind", "label")

_PREDICTION_KEY = ("event_id", "event_time")


def label_changes(
    stored_predictions: DataFrame, new_predictions: DataFrame, stored_labels: DataFrame, new_labels: DataFrame
) -> DataFrame:
    """The signed counts of a micro-batch's labels.

    Args:
        stored_predictions: of lower micro-batches, at least those that the new labels are about.
        new_predictions: of this micro-batch.
        stored_labels: of lower micro-batches, at least those about the same predictions as the new labels, and those
            about the new predictions.
        new_labels: of this micro-batch.

    Returns:
        one row per prediction for which a label was found: :data:`PREDICTION_COLUMNS`, ``labelled`` and ``correct``
        (signed), and ``joined``: how many labels found their prediction in this micro-batch, ``waited``: how many of
        these had been stored before.
    """
    labels = _keyed(stored_labels, old=True).union(_keyed(new_labels, old=False))
    label = F.struct("feedback_time", "feedback_id", "label")
    of_key = labels.groupBy(*_PREDICTION_KEY).agg(
        F.max(label).alias("after"),
        F.max(F.when(F.col("old"), label)).alias("stored"),
        F.count_if("old").alias("n_old"),
        F.count_if(~F.col("old")).alias("n_new"),
    )
    known = stored_predictions.select(*PREDICTION_COLUMNS, F.lit(True).alias("known"))
    new = new_predictions.select(*PREDICTION_COLUMNS, F.lit(False).alias("known"))
    joined = (
        known.union(new).join(F.broadcast(of_key), list(_PREDICTION_KEY)).where(~F.col("known") | (F.col("n_new") > 0))
    )
    # Only a prediction that was there before had a label before.
    had = F.col("known") & F.col("stored").isNotNull()
    waited = F.when(F.col("known"), 0).otherwise(F.col("n_old"))
    return joined.select(
        *PREDICTION_COLUMNS,
        F.when(had, 0).otherwise(1).alias("labelled"),
        (_right("after") - F.when(had, _right("stored")).otherwise(0)).alias("correct"),
        (F.col("n_new") + waited).alias("joined"),
        waited.alias("waited"),
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
