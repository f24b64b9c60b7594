"""Takes a recorded decision again, from its JSON alone."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from epp.compose import Picker, compose
from epp.config.build import configuration_of
from epp.config.changes import changes
from epp.config.errors import ConfigError
from epp.config.settings import Configuration
from epp.configured import Outside
from epp.core.decision import DecisionRecord, Step
from epp.core.endpoint import Endpoint
from epp.core.estimate import PoolEstimate
from epp.core.refusal import Refused
from epp.core.request import RequestFacts
from epp.datalayer.store import EndpointSpec
from epp.explain.explanation import explanation, stepped
from epp.explain.plain import decode, decode_fields, name_of
from epp.explain.snapshot import SNAPSHOT_VERSION, memories_of
from epp.flowcontrol.settings import FlowControlSettings


class CannotReplay(Exception):
    """What of the JSON is not as a record has it."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """The decision as it was taken now, in the form of an explanation."""

    steps: list[dict[str, Any]]
    decision: dict[str, Any] | None  # None: nothing could be ranked

    def differences(self, recorded: Mapping[str, Any]) -> list[str]:
        """Where an explanation that was recorded says otherwise; empty if all is the same."""
        before = {name: recorded.get(name) for name in ("steps", "decision")}
        return changes(before, {"steps": self.steps, "decision": self.decision})


def replay(recorded: Mapping[str, Any]) -> Replayed:
    """`recorded` is an explanation with its replay part. Raises CannotReplay."""
    snapshot = recorded.get("replay")
    if not isinstance(snapshot, Mapping):
        raise CannotReplay("replay: is missing: this decision was recorded without it")
    if snapshot.get("version") != SNAPSHOT_VERSION:
        raise CannotReplay(f"replay.version: is not {SNAPSHOT_VERSION}")
    steps: list[Step] = []
    try:
        record = _consider(snapshot, steps)
    except ConfigError as error:
        raise CannotReplay(f"replay.configuration: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CannotReplay(f"replay: {type(error).__name__}: {error}") from error
    return Replayed(stepped(steps), None if record is None else explanation(record))


def _consider(snapshot: Mapping[str, Any], steps: list[Step]) -> DecisionRecord | None:
    rng = random.Random(int(snapshot["seed"]))
    picker = _picker(snapshot)
    known = {name_of(endpoint): endpoint for endpoint in picker.store.endpoints}
    facts = _facts(snapshot["request"], known)
    cached = {known[name]: tokens for name, tokens in snapshot["cached_tokens"].items()}
    attempt = picker.configured.attempt
    around = replace(
        attempt.around,
        match_prefix=lambda _blocks, _endpoints, _ratio: cached,
        estimate=None,  # it is among the facts
    )
    try:
        return replace(attempt, around=around).consider(facts, snapshot["now"], rng, steps)
    except Refused:
        return None


def _picker(snapshot: Mapping[str, Any]) -> Picker:
    """One that sees what the recording one saw."""
    configuration = _with_admission(configuration_of(snapshot["configuration"]), snapshot["waits"])
    outside = Outside(random.Random(0), new_request_id=lambda: "")
    picker = compose(configuration, outside, use_subset=snapshot["use_subset"])
    templates = [decode_fields(Endpoint("", "", 0), e, _unknown) for e in snapshot["endpoints"]]
    picker.store.apply(
        [EndpointSpec(e.name, e.address, e.port, e.namespace, e.labels) for e in templates]
    )
    for endpoint, template, plain in zip(
        picker.store.endpoints, templates, snapshot["endpoints"], strict=True
    ):
        for name in plain.keys() - {"name", "address", "port", "namespace"}:
            if hasattr(template, name):
                setattr(endpoint, name, getattr(template, name))
    known = {name_of(endpoint): endpoint for endpoint in picker.store.endpoints}
    for name, memory in memories_of(picker.configured.scheduler).items():
        memory.restore(decode(snapshot["memories"][name], known.__getitem__))
    return picker


def _with_admission(configuration: Configuration, waits: bool) -> Configuration:
    """A running picker keeps the kind of admission that it was started with."""
    if waits is (configuration.flow_control is not None):
        return configuration
    return replace(configuration, flow_control=FlowControlSettings() if waits else None)


def _facts(plain: Mapping[str, Any], known: Mapping[str, Endpoint]) -> RequestFacts:
    shape = RequestFacts("", estimate=PoolEstimate(0.0, 1.0, 0.0, 0.0))
    facts = decode_fields(shape, plain, known.__getitem__)
    facts.prefix_blocks = range(plain["prefix_block_count"])  # only how many there were counts
    return facts


def _unknown(name: str) -> Endpoint:
    raise ValueError(f"an endpoint refers to the endpoint {name!r}")
