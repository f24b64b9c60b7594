"""Whole fleets of model servers behind a composed picker, in virtual time."""
