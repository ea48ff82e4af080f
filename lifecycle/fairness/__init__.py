"""Whether a model treats groups alike: group metrics, the gate of a retraining, mitigation, and their record."""
