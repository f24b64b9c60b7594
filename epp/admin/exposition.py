"""The Prometheus text page, rendered in pieces so that no piece holds up the event loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import Metric, Sample

from epp.telemetry.number_text import number_text

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SAMPLES_PER_PIECE = 200  # about a millisecond

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})
_HELP_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n"})


def render(families: Iterable[Metric]) -> Iterator[bytes]:
    """Pieces of the page, in order. A family may come in slices, one after another.

    A later slice without samples ends a piece: making the next takes as long as a piece may.
    """
    lines: list[str] = []
    last = ""
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if name != last:
            last = name
            lines.append(f"# HELP {name} {family.documentation.translate(_HELP_ESCAPES)}\n")
            lines.append(f"# TYPE {name} {family.type}\n")
        elif not family.samples:
            yield _piece(lines)
            lines.clear()
        for sample in family.samples:
            if sample.name.endswith("_created"):
                continue  # doubles the page for what nobody reads
            lines.append(_line(sample))
            if len(lines) >= SAMPLES_PER_PIECE:
                yield _piece(lines)
                lines.clear()
    if lines:
        yield _piece(lines)


def _piece(lines: list[str]) -> bytes:
    return "".join(lines).encode("utf-8", "replace")


def _line(sample: Sample) -> str:
    if not sample.labels:
        return f"{sample.name} {number_text(sample.value)}\n"
    labels = ",".join(f'{k}="{v.translate(_ESCAPES)}"' for k, v in sample.labels.items())
    return f"{sample.name}{{{labels}}} {number_text(sample.value)}\n"
