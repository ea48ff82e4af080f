"""What an event, a table row and a rule is: typed records, their schemas and their versions. No Spark, no I/O."""
