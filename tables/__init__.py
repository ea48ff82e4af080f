"""Reading and appending Delta tables without Spark. I/O only; what a table is stands in ``schemas.tables``."""
