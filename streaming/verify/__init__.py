"""Checking what ingest has stored, by other means than those that stored it: no Spark, no code of ingest."""
