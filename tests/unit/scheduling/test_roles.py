from __future__ import annotations

from epp.scheduling.roles import decoders, encoders, prefillers
from tests.helpers.build import an_endpoint

ROLES = (
    "encode",
    "prefill",
    "decode",
    "encode-prefill",
    "prefill-decode",
    "both",
    "encode-prefill-decode",
    "another",
)
POOL = [an_endpoint(role, labels={"llm-d.ai/role": role}) for role in ROLES]
POOL.append(an_endpoint("unlabelled"))


def test_what_each_role_does() -> None:
    do_all = ["encode-prefill-decode"]
    assert [e.name for e in encoders(POOL)] == ["encode", "encode-prefill", *do_all]
    assert [e.name for e in prefillers(POOL)] == [
        *("prefill", "encode-prefill", "prefill-decode", "both"),
        *do_all,
    ]
    assert [e.name for e in decoders(POOL)] == [
        *("decode", "prefill-decode", "both"),
        *do_all,
        "unlabelled",
    ]
