"""Pure functions on numpy and scipy: distances, tests and the alarm rule. No Spark, no I/O."""
