"""Model names to weighted targets, objectives to priorities."""
