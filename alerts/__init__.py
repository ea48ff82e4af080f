"""From verdicts to incidents, from incidents to deliveries, and from a call that comes back to a retraining."""
