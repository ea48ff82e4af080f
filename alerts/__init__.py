"""From verdicts to incidents; below: their `delivery`, the `webhook` that comes back, the `retraining` it starts."""
