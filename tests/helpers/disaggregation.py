"""A composed picker over a pool with roles, and requests for it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import lru_cache

import orjson

from epp.compose import Picker, compose
from epp.config.build import read_configuration
from epp.configured import Outside
from epp.core.decision import DecisionRecord, Endpoints
from epp.core.endpoint import Endpoint
from epp.datalayer.store import EndpointSpec
from epp.director import Arrival, Begun

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
PLUGINS = """
- {type: encode-filter}
- {type: prefill-filter}
- {type: decode-filter}
- {type: active-request-scorer}
- {type: prefix-cache-scorer}
- {type: always-disagg-multimodal-decider}
- {type: prefix-based-pd-decider, parameters: {nonCachedTokens: 100}}
"""
PROFILES = """
schedulingProfiles:
- name: encode
  plugins: [{pluginRef: encode-filter}, {pluginRef: active-request-scorer}]
- name: prefill
  plugins: [{pluginRef: prefill-filter}, {pluginRef: active-request-scorer}]
- name: decode
  plugins:
  - {pluginRef: decode-filter}
  - {pluginRef: active-request-scorer}
  - {pluginRef: prefix-cache-scorer, weight: 3}
"""
DECIDERS = "deciders: {prefill: prefix-based-pd-decider, encode: always-disagg-multimodal-decider}"
DISAGG = f"- {{type: disagg-profile-handler, parameters: {{{DECIDERS}}}}}"
POOL = {"e0": "encode", "p0": "prefill", "p1": "prefill", "d0": "decode", "d1": "decode"}


_configuration = lru_cache(read_configuration)  # the same few documents, very many times


def with_places(places: int) -> str:
    """Plugins and sections: so many requests are what one endpoint takes."""
    return f"""
- {{type: concurrency-detector, parameters: {{maxConcurrency: {places}}}}}
flowControl: {{saturationDetector: {{pluginRef: concurrency-detector}}, defaultRequestTTL: 5s}}
"""


def a_disagg_picker(
    handler: str = DISAGG,
    *,
    more: str = "",
    pool: Mapping[str, str] = POOL,
    profiles: str = PROFILES,
    head: str = "",
) -> Picker:
    """`handler` and `more` follow the plugins; `more` may go on with other sections."""
    text = f"{HEAD}{head}\nplugins:{PLUGINS}{handler}\n{more}\n{profiles}"
    picker = compose(_configuration(text), Outside(random.Random(1), lambda: "made-up"))
    apply(picker, pool)
    return picker


def apply(picker: Picker, pool: Mapping[str, str]) -> None:
    """Endpoints by name and role; an empty role is no label. The name tells the address."""
    picker.store.apply(
        [
            EndpointSpec(
                name,
                f"10.0.{ord(name[0])}.{name[1:]}",
                8000,
                labels={"llm-d.ai/role": role} if role else {},
            )
            for name, role in pool.items()
        ]
    )


def endpoint(picker: Picker, name: str) -> Endpoint:
    return next(e for e in picker.store.endpoints if e.name == name)


def an_arrival(
    tokens: int, *, image: bool = False, text: str = "x", stream: bool = False, **headers: str
) -> Arrival:
    """A chat with a prompt of about so many tokens."""
    content: list[object] = [{"type": "text", "text": text * (4 * tokens // len(text))}]
    if image:
        content.append({"type": "image_url", "image_url": {"url": "https://example.com/y.png"}})
    messages = [{"role": "user", "content": content}]
    body = orjson.dumps({"model": "m", "stream": stream, "messages": messages})
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    fields = {":path": "/v1/chat/completions", ":method": "POST", **given}
    return Arrival(fields, body, complete=True, has_body=True, received_at=0.0)


def decision_of(begun: Begun) -> tuple[Endpoints, DecisionRecord]:
    assert begun.placed is not None, begun.outcome
    return begun.placed.decision, begun.placed.record


def roles_of(record: DecisionRecord) -> dict[str, str]:
    """What each stage came to: the names that it picked, else why not."""
    return {
        stage.role.value: ",".join(e.name for e in stage.picked) or str(stage.skip)
        for stage in record.stages
    }
