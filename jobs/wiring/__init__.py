"""What every job needs to start: its arguments, its log, its Spark session."""
