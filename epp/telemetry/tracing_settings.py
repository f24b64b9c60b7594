"""What the standard OTEL_ variables say of traces, in this process's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from epp.telemetry.trace_context import ALL_IDS, Sampler

EXPORTER: Final = "OTEL_TRACES_EXPORTER"
SAMPLER: Final = "OTEL_TRACES_SAMPLER"
SAMPLER_ARG: Final = "OTEL_TRACES_SAMPLER_ARG"
DISABLED: Final = "OTEL_SDK_DISABLED"
QUEUE: Final = "OTEL_BSP_MAX_QUEUE_SIZE"
BATCH: Final = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
# The one for traces goes before the general one.
ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")

UNSET: Final = f"neither {EXPORTER} nor an OTLP endpoint is set"

DEFAULT_RATIO: Final = 0.1
DEFAULT_SAMPLER: Final = "parentbased_traceidratio"
DEFAULT_QUEUE_SPANS: Final = 2048
# Encoding one holds the interpreter; 64 spans hold it for two milliseconds.
DEFAULT_BATCH_SPANS: Final = 64

# By name: whether it follows the parent, and the ratio; None is that of the argument.
SAMPLERS: Final[Mapping[str, tuple[bool, float | None]]] = {
    "always_on": (False, 1.0),
    "always_off": (False, 0.0),
    "traceidratio": (False, None),
    "parentbased_always_on": (True, 1.0),
    "parentbased_always_off": (True, 0.0),
    "parentbased_traceidratio": (True, None),
}


class Exporter(StrEnum):
    CONSOLE = "console"  # JSON on standard output
    GRPC = "grpc"  # OTLP
    HTTP = "http/protobuf"  # OTLP


@dataclass(frozen=True, slots=True)
class TracingSettings:
    exporter: Exporter | None = None  # None: no spans, and no header is touched
    says: str = f"no spans: {UNSET}"  # what happens, in a line
    problems: tuple[str, ...] = ()  # variables that are taken otherwise than they were said
    sampler: Sampler = Sampler()
    queue_spans: int = DEFAULT_QUEUE_SPANS  # that wait to be exported, at the most
    batch_spans: int = DEFAULT_BATCH_SPANS


def tracing_settings(environment: Mapping[str, str], *, enabled: bool) -> TracingSettings:
    """`enabled` is what `--tracing` says. Never fails: what cannot be read is a problem."""
    if not enabled:
        return TracingSettings(says="no spans: --tracing=false")
    if environment.get(DISABLED, "").strip().lower() == "true":
        return TracingSettings(says=f"no spans: {DISABLED} is true")
    problems: list[str] = []
    exporter, why = _exporter(environment, problems)
    if exporter is None:
        return TracingSettings(says=f"no spans: {why}", problems=tuple(problems))
    sampler, rule = _sampler(environment, problems)
    queue = _positive(environment, QUEUE, DEFAULT_QUEUE_SPANS, problems)
    batch = min(queue, _positive(environment, BATCH, DEFAULT_BATCH_SPANS, problems))
    return TracingSettings(
        exporter, f"spans go {why}, {rule}", tuple(problems), sampler, queue, batch
    )


def _exporter(environment: Mapping[str, str], problems: list[str]) -> tuple[Exporter | None, str]:
    """With where the spans go, or why there are none."""
    endpoint = _first(environment, ENDPOINTS)
    named = environment.get(EXPORTER, "").strip().lower()
    match named or ("otlp" if endpoint else ""):
        case "":
            return None, UNSET
        case "none":
            return None, f"{EXPORTER} is none"
        case "console":
            return Exporter.CONSOLE, "to standard output"
        case "otlp":
            protocol = _protocol(environment, problems)
            default = "localhost:4317" if protocol is Exporter.GRPC else "localhost:4318"
            return protocol, f"to {endpoint or default} by OTLP ({protocol.value})"
        case _:
            problems.append(f"{EXPORTER}: '{named}' is neither otlp, console nor none: no spans")
            return None, f"{EXPORTER} names no exporter of this version"


def _protocol(environment: Mapping[str, str], problems: list[str]) -> Exporter:
    named = _first(environment, PROTOCOLS)
    if named in ("", Exporter.GRPC):
        return Exporter.GRPC
    if named != Exporter.HTTP:
        problems.append(f"{PROTOCOLS[1]}: '{named}' is neither grpc nor http/protobuf: grpc")
        return Exporter.GRPC
    return Exporter.HTTP


def _sampler(environment: Mapping[str, str], problems: list[str]) -> tuple[Sampler, str]:
    """With what it does, in words."""
    name = environment.get(SAMPLER, "").strip().lower() or DEFAULT_SAMPLER
    if name not in SAMPLERS:
        default = f"{DEFAULT_SAMPLER} with {DEFAULT_RATIO}"
        problems.append(f"{SAMPLER}: '{name}' is not known: {default}")
        return Sampler(True, _bound(DEFAULT_RATIO)), _follows_rule(DEFAULT_RATIO)
    follows_parent, fixed = SAMPLERS[name]
    ratio = _ratio(environment, problems) if fixed is None else fixed
    if not follows_parent:
        return Sampler(False, _bound(ratio)), f"of {ratio:.6g} of all traces"

    return Sampler(True, _bound(ratio)), _follows_rule(ratio)


def _follows_rule(ratio: float) -> str:
    return f"of {ratio:.6g} of new traces and of those that came with the sampled flag"


def _ratio(environment: Mapping[str, str], problems: list[str]) -> float:
    text = environment.get(SAMPLER_ARG, "").strip()
    try:
        ratio = float(text or DEFAULT_RATIO)
    except ValueError:
        ratio = -1.0
    if 0.0 <= ratio <= 1.0:
        return ratio
    problems.append(f"{SAMPLER_ARG}: '{text}' is no number from 0 to 1: {DEFAULT_RATIO}")
    return DEFAULT_RATIO


def _bound(ratio: float) -> int:
    return round(ratio * ALL_IDS)


def _positive(environment: Mapping[str, str], name: str, default: int, problems: list[str]) -> int:
    text = environment.get(name, "").strip()
    if not text:
        return default
    if text.isascii() and text.isdigit() and 0 < int(text) < 1 << 31:
        return int(text)
    problems.append(f"{name}: '{text}' is no number above zero: {default}")
    return default


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str:
    """The first of these variables that says something."""
    return next((text for name in names if (text := environment.get(name, "").strip())), "")
