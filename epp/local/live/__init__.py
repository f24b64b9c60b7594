"""Runs of the laboratory in real time: the same requests, sent through Envoy to real processes."""
