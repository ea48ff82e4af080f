"""From a call that was let in to a run of the one retraining job, and what holds it back."""
