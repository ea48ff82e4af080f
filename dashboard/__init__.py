"""Pages that read Delta without Spark. They write nothing."""
