"""Reads what model servers say of themselves on their metrics pages: little, and when needed."""
