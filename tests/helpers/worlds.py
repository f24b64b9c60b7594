"""Random worlds for decisions: a document, a pool with loads and metrics, and a request."""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass
from typing import Any

import orjson
import yaml
from hypothesis import strategies as st

from epp.compose import Picker, compose
from epp.config.build import configuration_of
from epp.config.errors import ConfigError
from epp.configured import Outside
from epp.core.endpoint import NEVER, EndpointMetrics
from epp.datalayer.store import EndpointSpec
from epp.director import Arrival, Begun, Cause, Ending
from epp.payloads.usage import Usage
from epp.scheduling.catalogue import discover
from epp.scheduling.interfaces import (
    Detector,
    Plugin,
    Scorer,
    StatefulPicker,
    StatefulScorer,
)
from epp.scheduling.interfaces import (
    Picker as PickerPlugin,
)

FILTERS: list[dict[str, Any]] = [
    {"type": "label-selector-filter", "parameters": {"matchLabels": {"tier": "a"}}},
    {"type": "header-based-testing-filter"},
    {"type": "utilization-detector", "name": "not-full", "parameters": {"queueDepthThreshold": 3}},
    {"type": "prefix-cache-affinity-filter"},
]


def _types(*kinds: type[Plugin]) -> list[str]:
    """All of these kinds that need no parameters, so that a new one is among them by itself."""
    found = []
    for name, cls in sorted(discover().items()):
        document = {**HEAD, "plugins": [{"type": name}]}
        if issubclass(cls, kinds) and not issubclass(cls, Detector):
            with contextlib.suppress(ConfigError):
                configuration_of(document)
                found.append(name)
    return found


HEAD = {"apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig"}
SCORERS = _types(Scorer, StatefulScorer)
PICKERS = _types(PickerPlugin, StatefulPicker)
DETECTORS = ["utilization-detector", "concurrency-detector"]
PROMPTS = ["hi", "word " * 300, "word " * 300 + "more " * 200, "another " * 500]


@dataclass
class World:
    document: dict[str, Any]
    servers: list[dict[str, Any]]
    placed_before: list[tuple[str, int]]  # prompts, and how many of these requests still run
    prompt: str
    headers: dict[str, str]
    subset: frozenset[str] | None
    takes_lists: bool
    seed: int
    now: float

    def picker(self, **outside_of_it: Any) -> Picker:
        """Always the same: a fresh one, in the state that the world has."""
        outside = Outside(random.Random(self.seed ^ 1), lambda: "made-up", **outside_of_it)
        picker = compose(configuration_of(self.document), outside)
        picker.store.apply(
            [
                EndpointSpec(f"e{n}", f"10.0.0.{n + 1}", 80, labels=server["labels"])
                for n, server in enumerate(self.servers)
            ]
        )
        for endpoint, server in zip(picker.store.endpoints, self.servers, strict=True):
            picker.read(endpoint, server["metrics"], 0)
        for number, (prompt, running) in enumerate(self.placed_before):
            self._live_through(picker, prompt, self.now - 9.0 + number, running=bool(running))
        outside.rng.seed(self.seed)
        return picker

    def _live_through(
        self, picker: Picker, prompt: str, placed_at: float, *, running: bool
    ) -> None:
        """A streamed answer, of which the picker learns what a prefill takes."""
        begun = self.arrive(picker, prompt, placed_at)
        tokens = begun.facts.prompt_tokens
        first_at = placed_at + 0.02 + tokens * 0.001
        picker.director.responding(begun.facts, "", 200, first_at)
        picker.director.first_token(begun.facts, first_at)
        if not running:
            ending = Ending(Cause.NATURAL, 200, usage=Usage(tokens, 50, None))
            picker.director.finish(begun.facts, ending, first_at + 0.5)

    def arrive(self, picker: Picker, prompt: str, now: float) -> Begun:
        return picker.director.begin(self.arrival(prompt, now), now)

    def arrival(self, prompt: str, now: float) -> Arrival:
        body = orjson.dumps(
            {"model": "m", "stream": True, "messages": [{"role": "user", "content": prompt}]}
        )
        headers = {":path": "/v1/chat/completions", ":method": "POST", **self.headers}
        return Arrival(
            headers,
            body,
            True,
            True,
            now,
            subset=self.subset,
            takes_lists=self.takes_lists,
            shows_answer=True,
        )


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    filters = draw(st.lists(st.sampled_from(FILTERS), unique_by=lambda f: f["type"], max_size=2))
    scorers = draw(st.lists(st.sampled_from(SCORERS), unique=True, max_size=4))
    if draw(st.booleans()) and "marginal-cost-scorer" not in scorers:
        scorers.append("marginal-cost-scorer")  # it reads what was learned
    picker = draw(st.sampled_from(PICKERS))
    detector = draw(st.sampled_from(DETECTORS))
    weights = st.sampled_from([0.0, 0.3, 1.0, 2.0, 7.5])
    parameters = {"maxConcurrency": draw(st.integers(1, 4))} if detector[0] == "c" else {}
    document: dict[str, Any] = {
        **HEAD,
        "plugins": [
            *filters,
            *({"type": name} for name in (*scorers, picker)),
            {"type": detector, "name": "detector", "parameters": parameters},
        ],
        "schedulingProfiles": [
            {
                "name": "p",
                "plugins": [
                    *({"pluginRef": f.get("name", f["type"])} for f in filters),
                    *({"pluginRef": name, "weight": draw(weights)} for name in scorers),
                    {"pluginRef": picker},
                ],
            }
        ],
        "flowControl": {"saturationDetector": {"pluginRef": "detector"}},
    }
    if draw(st.booleans()):
        document["featureGates"] = ["flowControl=false"]
    if draw(st.booleans()):
        _prefill_apart(document, draw(st.sampled_from(["wait", "skip"])))
    found: dict[str, Any] = yaml.safe_load(yaml.safe_dump(document))
    return found


def _prefill_apart(document: dict[str, Any], on_full_stage: str) -> None:
    """Two profiles of what was one, and a handler."""
    [profile] = document["schedulingProfiles"]
    document["schedulingProfiles"] = [
        {"name": role, "plugins": [{"pluginRef": f"{role}-filter"}, *profile["plugins"]]}
        for role in ("decode", "prefill")
    ]
    decider = "prefix-based-pd-decider"
    handler = {"deciders": {"prefill": decider}, "onFullStage": on_full_stage}
    document["plugins"] += [
        {"type": "decode-filter"},
        {"type": "prefill-filter"},
        {"type": decider, "parameters": {"nonCachedTokens": 100}},
        {"type": "disagg-profile-handler", "parameters": handler},
    ]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    now = 1000.0
    ages = st.sampled_from([NEVER, now - 0.1, now - 3.0, now - 100.0])
    servers = []
    for _ in range(draw(st.integers(0, 6))):
        read_at = draw(ages)
        metrics = EndpointMetrics(
            waiting=draw(st.integers(0, 6)),
            waiting_read_at=read_at,
            running=draw(st.integers(0, 9)),
            running_read_at=read_at,
            kv_cache_usage=draw(st.sampled_from([0.0, 0.1, 1 / 3, 0.85])),
            kv_cache_usage_read_at=read_at,
            running_adapters=draw(st.frozensets(st.sampled_from(["m", "n"]))),
            max_adapters=draw(st.integers(0, 2)),
            adapters_read_at=read_at,
        )
        labels = dict(draw(st.sampled_from([{}, {"tier": "a"}, {"tier": "b"}])))
        role = draw(st.sampled_from(["", "prefill", "decode", "prefill-decode"]))
        labels |= {"llm-d.ai/role": role} if role else {}
        servers.append({"metrics": metrics, "labels": labels})
    addresses = st.sampled_from([f"10.0.0.{n}" for n in range(1, 5)])
    selection = draw(st.none() | st.lists(addresses, min_size=1, max_size=3))
    headers = {"authorization": "Bearer secret", "x-session-id": "s1"}
    if selection is not None:
        headers["test-epp-endpoint-selection"] = ",".join(selection)
    return World(
        document=draw(documents()),
        servers=servers,
        placed_before=draw(
            st.lists(st.tuples(st.sampled_from(PROMPTS), st.integers(0, 1)), max_size=8)
        ),
        prompt=draw(st.sampled_from(PROMPTS)),
        headers=headers,
        subset=draw(st.none() | st.frozensets(addresses, min_size=1)),
        takes_lists=draw(st.booleans()),
        seed=draw(st.integers(0, 2**64 - 1)),
        now=now,
    )


def a_world() -> World:
    """Two endpoints with room, one of which waits for less."""
    document = {
        **HEAD,
        "plugins": [{"type": "queue-scorer"}, {"type": "prefix-cache-scorer"}],
        "schedulingProfiles": [
            {
                "name": "p",
                "plugins": [
                    {"pluginRef": "queue-scorer", "weight": 2},
                    {"pluginRef": "prefix-cache-scorer", "weight": 3},
                ],
            }
        ],
    }
    now = 1000.0
    servers = [
        {
            "labels": {},
            "metrics": EndpointMetrics(
                waiting=waiting, running=2, waiting_read_at=now - 0.1, running_read_at=now - 0.1
            ),
        }
        for waiting in (1, 3)
    ]
    headers = {"authorization": "Bearer secret"}
    return World(document, servers, [], PROMPTS[1], headers, None, False, 11, now)
