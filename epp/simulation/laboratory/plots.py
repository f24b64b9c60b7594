"""A comparison as a picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from epp.simulation.laboratory.comparison import Comparison

PANELS: Final = (
    ("good_share", "good answers, %", 100.0),
    ("ttft_p90", "first token p90, s", 1.0),
    ("tpot_p90", "per output token p90, ms", 1000.0),
    ("output_tokens_per_second", "output tokens/s", 1.0),
)


def plot(comparison: Comparison, title: str, path: Path) -> None:
    """One panel a figure, one bar an arm with its interval. The suffix says the format."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    arms = list(comparison.outcomes)
    figure, panels = plt.subplots(1, len(PANELS), figsize=(4 * len(PANELS), 1.2 + 0.45 * len(arms)))
    for panel, (name, label, factor) in zip(panels, PANELS, strict=True):
        means = [comparison.figure(arm, name) for arm in arms]
        widths = [0.0 if math.isnan(m.half_width) else factor * m.half_width for m in means]
        values = [0.0 if math.isnan(m.mean) else factor * m.mean for m in means]
        panel.barh(arms, values, xerr=widths, capsize=3)
        panel.invert_yaxis()
        panel.set_xlabel(label)
        panel.grid(axis="x", alpha=0.3)
        if panel is not panels[0]:
            panel.set_yticklabels([])
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
