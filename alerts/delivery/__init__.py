"""From the table ``alerts`` to the sinks: the outbox, its dispatcher, and one file for each sink."""
