"""Policies side by side: many runs, their figures, and how sure these are."""
