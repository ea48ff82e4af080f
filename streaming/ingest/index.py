"""What the driver knows of each event of a micro-batch: where it lies, its key, its times; never its content. Edge.

It is read in one Spark action and worked on as columns of Arrow, some hundred bytes an event. Asking Spark each
question by itself takes longer: in a micro-batch of the usual size, planning costs more than reading the rows.
"""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812

from pegel.streaming.ingest.labels import is_label
from pegel.streaming.ingest.parse import FEEDBACK, PREDICTION, REASON, RECORD

COORDINATES = ("hub", "partition", "offset")
KEY = (RECORD, "id", "time")
"""What a copy has in common with its original."""

ID = {PREDICTION: "event_id", FEEDBACK: "feedback_id"}
TIME = {PREDICTION: "event_time", FEEDBACK: "feedback_time"}
"""Record -> the columns of its key in its table."""


def read_index(parsed: DataFrame, attributes: Mapping[str, Column]) -> pa.Table:
    """Read the index of a micro-batch. One Spark action.

    Args:
        parsed: see :meth:`pegel.streaming.ingest.parse.Parser.parse`.
        attributes: attribute -> its value, see :attr:`pegel.streaming.profile.segments.Segments.values`.

    Returns:
        one row per event: ``hub, partition, offset, enqueued_time, bytes, record``; ``fit``, false for a dead letter;
        ``id`` and ``time``, its key; ``model, version`` of a prediction; ``label_of, label_time``, the prediction that
        a label is about; and a column for each attribute. What an event does not have is null.
    """
    return parsed.select(
        *COORDINATES,
        "enqueued_time",
        "bytes",
        RECORD,
        F.col(REASON).isNull().alias("fit"),
        *(_own(of).alias(name) for name, of in (("id", ID), ("time", TIME))),
        "model",
        "version",
        F.when(is_label(), F.col("event_id")).alias("label_of"),
        F.when(is_label(), F.col("prediction_time")).alias("label_time"),
        *(value.alias(_column(attribute)) for attribute, value in attributes.items()),
    ).toArrow()


def of_record(index: pa.Table, record: str) -> pa.Table:
    """The events of one kind."""
    return index.filter(pc.equal(index[RECORD], record))


def labels_in(index: pa.Table) -> pa.Table:
    """The labels, which ratings and judgements are not."""
    return index.filter(pc.is_valid(index["label_of"]))


def values_in(index: pa.Table, attribute: str) -> set[str]:
    """The values that an attribute has."""
    return set(pc.unique(index[_column(attribute)].drop_null()).to_pylist())


def _own(columns: Mapping[str, str]) -> Column:
    return F.when(F.col(RECORD) == PREDICTION, F.col(columns[PREDICTION])).otherwise(F.col(columns[FEEDBACK]))


def _column(attribute: str) -> str:
    return f"segment {attribute}"
