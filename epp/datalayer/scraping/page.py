"""Reads the few wanted families from a metrics page in the Prometheus text format.

Works on bytes and looks only at lines that begin with a wanted name: a page is hundreds of lines
of which a picker needs ten. What cannot be read for certain counts as absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from epp.core.endpoint import EndpointMetrics
from epp.datalayer.scraping.engines import EngineMapping, SeriesSpec
from epp.datalayer.scraping.text_format import (
    UNREADABLE,
    Sample,
    read_count,
    read_labels,
    read_sample,
)

STEP_BYTES = 64 * 1024  # what one step reads: 2 ms if every line is wanted, commonly 50 µs
MAX_LINE_BYTES = 16 * 1024
MAX_SERIES = 4096  # of one family; vLLM has one for each data-parallel rank
MAX_COUNT = 1e9  # more requests or blocks than this is no number of a model server


@dataclass(frozen=True, slots=True)
class Reading:
    metrics: EndpointMetrics
    families: frozenset[str]  # the wanted ones that are on the page, readable or not


class _Adapters(NamedTuple):
    running: frozenset[str]
    waiting: frozenset[str]
    limit: int


def read_page(
    page: bytes,
    mapping: EngineMapping,
    previous: EndpointMetrics,
    now: float,
    *,
    whole: bool = True,
) -> Reading:
    """`previous` with every value replaced that the page has. `now` is the time of the page.

    Without `whole`, nobody vouches that the page is not cut off: then a family counts only if
    something follows it, because a rank's series may be missing at the end.
    """
    scan = PageScan(page, mapping, whole=whole)
    while scan.step():
        pass
    return scan.reading(previous, now)


def is_filtered(page: bytes, mapping: EngineMapping) -> bool:
    """Whether the page shows nothing but wanted families, as far as its beginning tells."""
    end = len(page) if len(page) <= STEP_BYTES else page.rfind(b"\n", 0, STEP_BYTES) + 1
    return mapping.foreign_line.search(page, 0, end) is None


class PageScan:
    """`read_page` in steps of bounded time, for pages of any size."""

    def __init__(self, page: bytes, mapping: EngineMapping, *, whole: bool = True) -> None:
        self._page = page
        self._mapping = mapping
        self._whole = whole and page.endswith(b"\n")
        self._adapters = mapping.adapters
        self._position = 0
        self._longest = max(map(len, mapping.families)) + 2
        self._samples: dict[str, list[Sample]] = {}
        self._ends: dict[str, int] = {}  # by family: where its last line ends

    def step(self) -> bool:
        """Read one piece; whether there is more."""
        page, starts = self._page, self._mapping.line_start
        if self._position == 0 and (first := starts.match(b"\n" + page[: self._longest])):
            self._take(first[1], first.end(1) - 1)
        stop = self._position + STEP_BYTES
        for match in starts.finditer(page, self._position, stop + self._longest):
            if match.start() >= stop:
                break
            self._take(match[1], match.end(1))
        self._position = stop
        return stop < len(page)

    def _take(self, name: bytes, position: int) -> None:
        """A line of a wanted family; `position` is behind its name."""
        family = name.decode()
        page = self._page
        end = page.find(b"\n", position, position + MAX_LINE_BYTES)
        sample = read_sample(page, position, end) if end >= 0 else UNREADABLE
        self._ends[family] = end + 1 if end >= 0 else len(page)
        samples = self._samples.setdefault(family, [])
        if self._adapters is not None and family == self._adapters.family:
            _keep_newest(samples, sample)
        elif len(samples) <= MAX_SERIES:
            samples.append(sample)

    def reading(self, previous: EndpointMetrics, now: float) -> Reading:
        mapping = self._mapping
        waiting = _total(self._values(mapping.waiting))
        running = _total(self._values(mapping.running))
        usage = _fullest(self._values(mapping.kv_cache_usage))
        generated = self._values(mapping.generated_tokens)
        first = self._values(mapping.first_tokens)
        adapters = self._live_adapters()
        cache = self._cache_config()
        started = self._values(mapping.started_at)
        block_size, num_blocks = cache or (previous.block_size_tokens, previous.num_blocks)
        was = previous
        metrics = EndpointMetrics(
            waiting=was.waiting if waiting is None else waiting,
            waiting_read_at=was.waiting_read_at if waiting is None else now,
            running=was.running if running is None else running,
            running_read_at=was.running_read_at if running is None else now,
            kv_cache_usage=was.kv_cache_usage if usage is None else usage,
            kv_cache_usage_read_at=was.kv_cache_usage_read_at if usage is None else now,
            generated_tokens=was.generated_tokens if generated is None else sum(generated),
            generated_tokens_read_at=was.generated_tokens_read_at if generated is None else now,
            first_tokens=was.first_tokens if first is None else sum(first),
            first_tokens_read_at=was.first_tokens_read_at if first is None else now,
            running_adapters=was.running_adapters if adapters is None else adapters.running,
            waiting_adapters=was.waiting_adapters if adapters is None else adapters.waiting,
            max_adapters=was.max_adapters if adapters is None else adapters.limit,
            adapters_read_at=was.adapters_read_at if adapters is None else now,
            block_size_tokens=block_size,
            num_blocks=num_blocks,
            cache_config_read_at=was.cache_config_read_at if cache is None else now,
            custom={**was.custom, **self._custom()} if mapping.custom else was.custom,
            started_at=max((was.started_at, *(started or ()))),
        )
        return Reading(metrics, frozenset(self._samples))

    def _closed(self, family: str) -> bool:
        """Whether all of the family was seen: it is followed by a line that is not its own."""
        page, end = self._page, self._ends[family]
        return self._whole or page[end : end + 1] == b"#" or page.find(b"\n", end) >= 0

    def _of(self, spec: SeriesSpec | None) -> list[Sample]:
        """The samples of a family; none unless all of it can be known."""
        if spec is None or spec.family not in self._samples or not self._closed(spec.family):
            return []
        samples = self._samples[spec.family]
        return samples if len(samples) <= MAX_SERIES else []

    def _values(self, spec: SeriesSpec | None) -> list[float] | None:
        """The values of the chosen series; None if there is none or one cannot be read."""
        values = []
        for labels, value in self._of(spec):
            if labels is None:
                return None
            if spec is not None and spec.labels and not _chosen(spec, labels):
                continue
            if value is None:
                return None
            values.append(value)
        return values or None

    def _custom(self) -> dict[str, float]:
        """Of those that are on the page. Of several chosen series the first counts."""
        found = ((key, self._values(spec)) for key, spec in self._mapping.custom)
        return {key: values[0] for key, values in found if values is not None}

    def _live_adapters(self) -> _Adapters | None:
        newest = self._of(self._adapters)
        labels = newest[0][0] if newest else None
        names = None if labels is None else read_labels(labels)
        if names is None:
            return None
        return _Adapters(
            running=_listed(names.get("running_lora_adapters", "")),
            waiting=_listed(names.get("waiting_lora_adapters", "")),
            limit=read_count(names.get("max_lora", "")) or 0,
        )

    def _cache_config(self) -> tuple[int, int] | None:
        """Tokens per block and the number of blocks of all ranks."""
        mapping = self._mapping
        sizes = self._values(mapping.cache_block_size)
        counts = _total(self._values(mapping.cache_num_blocks))
        if sizes and counts and max(sizes) <= MAX_COUNT:
            return int(max(sizes)), counts
        size = total = 0
        for labels, _ in self._of(mapping.cache_info):
            names = None if labels is None else read_labels(labels)
            if names is None:
                return None
            blocks = read_count(names.get(mapping.cache_num_blocks_label, ""))
            tokens = read_count(names.get(mapping.cache_block_size_label, ""))
            if blocks is None or tokens is None:
                return None
            size, total = max(size, tokens), total + blocks
        return (size, total) if size and total else None


def _keep_newest(samples: list[Sample], sample: Sample) -> None:
    """Every combination of adapters that ever was has its series; the value is a time."""
    updated_at = sample[1]
    if updated_at is not None and (not samples or updated_at > (samples[0][1] or 0.0)):
        samples[:] = [sample]


def _listed(names: str) -> frozenset[str]:
    return frozenset(stripped for name in names.split(",") if (stripped := name.strip()))


def _total(values: list[float] | None) -> int | None:
    """Summed over data-parallel ranks."""
    if values is None or (total := sum(values)) > MAX_COUNT:
        return None
    return int(total)


def _fullest(values: list[float] | None) -> float | None:
    """A fraction; rounding may carry it a little beyond 1, a percentage is no fraction."""
    if values is None or (fullest := max(values)) > 1.001:
        return None
    return min(1.0, fullest)


def _chosen(spec: SeriesSpec, labels: bytes) -> bool:
    present = read_labels(labels)
    return present is not None and all(present.get(k) == v for k, v in spec.labels)
