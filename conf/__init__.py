"""Settings: their types, where they come from, and the shipped defaults. Secrets are only ever referred to."""
