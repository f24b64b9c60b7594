"""Envoy, picker and model servers on one machine, started and stopped together."""
