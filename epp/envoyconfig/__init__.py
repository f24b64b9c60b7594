"""The Envoy configurations that we generate: for one machine and for the standalone chart. Pure."""
