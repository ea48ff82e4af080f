"""From events to tables: parse, check, mask, dedupe, join labels, count, store."""

# from pegel.streaming.ingest.batch import BatchCounts, IngestedBatch
# from pegel.streaming.ingest.step import Ingest

# __all__ = ["BatchCounts", "Ingest", "IngestedBatch"]
