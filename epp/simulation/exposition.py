"""The Prometheus text format as prometheus_client writes it, `_created` series included."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache

from prometheus_client.utils import floatToGoString

Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Histogram:
    """Counts of observed values by upper bound; the last count is of values above all bounds."""

    bounds: Sequence[float]
    counts: list[int] = field(init=False)
    total: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(frozen=True, slots=True)
class Family:
    """One metric with its samples: (name as exposed, labels, value) each."""

    name: str
    kind: str
    help: str
    samples: Sequence[tuple[str, Labels, float]]


@dataclass(frozen=True, slots=True)
class Section:
    """Families that are made only when wanted. All their sample names start with `prefix`."""

    prefix: str
    families: Callable[[], Iterable[Family]]


def labels(pairs: Mapping[str, str]) -> Labels:
    return tuple(sorted(pairs.items()))


def counter(
    name: str, help_: str, values: Iterable[tuple[Labels, float]], created: float
) -> tuple[Family, Family]:
    """A counter and the gauge that says since when it counts."""
    values = list(values)
    total = f"{name}_total"
    return (
        Family(total, "counter", help_, [(total, place, value) for place, value in values]),
        _created(name, help_, [place for place, _ in values], created),
    )


def gauge(name: str, help_: str, values: Iterable[tuple[Labels, float]]) -> Family:
    return Family(name, "gauge", help_, [(name, place, value) for place, value in values])


def summary(
    name: str, help_: str, values: Iterable[tuple[Labels, int, float]], created: float
) -> tuple[Family, Family]:
    """Count and sum by labels."""
    values = list(values)
    samples: list[tuple[str, Labels, float]] = []
    for place, count, total in values:
        samples += ((f"{name}_count", place, count), (f"{name}_sum", place, total))
    created_family = _created(name, help_, [place for place, _, _ in values], created)
    return Family(name, "summary", help_, samples), created_family


def histogram(
    name: str, help_: str, values: Iterable[tuple[Labels, Histogram]], created: float
) -> tuple[Family, Family]:
    values = list(values)
    samples: list[tuple[str, Labels, float]] = []
    for place, observed in values:
        seen = 0
        for bound, count in zip((*observed.bounds, float("inf")), observed.counts, strict=True):
            seen += count
            samples.append((f"{name}_bucket", _with_bound(place, bound), seen))
        samples.append((f"{name}_count", place, seen))
        samples.append((f"{name}_sum", place, observed.total))
    created_family = _created(name, help_, [place for place, _ in values], created)
    return Family(name, "histogram", help_, samples), created_family


def render(sections: Iterable[Section], names: Set[str] | None = None) -> bytes:
    """The page; with `names`, only samples of exactly these names."""
    lines: list[str] = []
    for section in sections:
        if names is not None and not any(name.startswith(section.prefix) for name in names):
            continue
        for family in section.families():
            lines += _lines(family, names)
    return "".join(f"{line}\n" for line in lines).encode()


def _lines(family: Family, names: Set[str] | None) -> list[str]:
    samples = [s for s in family.samples if names is None or s[0] in names]
    if names is not None and not samples:
        return []
    return [
        f"# HELP {family.name} {family.help}",
        f"# TYPE {family.name} {family.kind}",
        *(f"{name}{_label_text(place)} {_number(value)}" for name, place, value in samples),
    ]


def _created(name: str, help_: str, places: Iterable[Labels], created: float) -> Family:
    return gauge(f"{name}_created", help_, [(place, created) for place in places])


@lru_cache(maxsize=8192)
def _with_bound(place: Labels, bound: float) -> Labels:
    return tuple(sorted((*place, ("le", _number(bound)))))


@lru_cache(maxsize=8192)
def _label_text(place: Labels) -> str:
    if not place:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in place) + "}"


def _number(value: float) -> str:
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
