"""DataFrame steps of the stream, and the pure statistics under them. No HTTP, no delivery."""
