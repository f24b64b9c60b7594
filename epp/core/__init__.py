"""Shared vocabulary: the values and refusals that every room speaks. Imports no other room."""
