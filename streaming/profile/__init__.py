"""From stored events to partials: integer counts per model version, segment, window and grid, counted in the JVM."""
