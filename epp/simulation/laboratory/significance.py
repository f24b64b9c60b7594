"""Whether a difference of paired runs is more than chance, also where many are looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Final

PANELS: Final = 400  # of Simpson's rule; the error is below 1e-9


def p_above(differences: Sequence[float], margin: float) -> float:
    """Chance of such a mean or a larger one if the true mean were `margin` (one-sided t-test).

    1 for fewer than two runs, which prove nothing.
    """
    if len(differences) < 2:
        return 1.0
    mean, spread = fmean(differences), stdev(differences)
    if spread == 0.0:
        return 0.0 if mean > margin else 1.0
    return t_tail((mean - margin) / (spread / math.sqrt(len(differences))), len(differences) - 1)


def t_tail(t: float, degrees: int) -> float:
    """The chance that Student's t is above."""
    half = _t_integral(abs(t), degrees)
    return 0.5 - half if t >= 0 else 0.5 + half


def _t_integral(upper: float, degrees: int) -> float:
    """Of the density from 0 to `upper`, after the substitution x = sqrt(degrees) tan(a)."""
    angle = math.atan(upper / math.sqrt(degrees))
    scale = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(math.pi)
    step = angle / PANELS
    total = 0.0
    for n in range(PANELS + 1):
        weight = 1 if n in (0, PANELS) else 4 if n % 2 else 2
        total += weight * math.cos(n * step) ** (degrees - 1)
    return scale * total * step / 3


def holm(p_values: Sequence[float], level: float = 0.05) -> list[bool]:
    """Which of many hypotheses fall, with a chance of `level` that any of them falls wrongly."""
    order = sorted(range(len(p_values)), key=lambda n: p_values[n])
    falls = [False] * len(p_values)
    for place, n in enumerate(order):
        if p_values[n] > level / (len(p_values) - place):
            break
        falls[n] = True
    return falls
