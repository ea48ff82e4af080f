"""One file for each job that spark-submit, ``pegel NAME`` or a wheel task can start: wiring only, no logic."""
