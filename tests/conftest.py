"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# Timings are for benchmarks: a busy machine fails no test.
settings.register_profile("epp", deadline=None)
settings.load_profile("epp")
