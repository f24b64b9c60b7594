"""A model of a vLLM server: its engine in virtual time, and an HTTP server built around it."""
