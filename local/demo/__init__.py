"""The demo: made-up or real queries as traffic, every service on loopback, and the story told as it happens."""
