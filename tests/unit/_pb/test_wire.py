"""What we write Envoy reads, and the other way round: every message, every field, two codecs."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from epp._pb import access_log_pb2, core_pb2, ext_proc_pb2, health_pb2, token_usage_pb2
from tests.unit._pb.filled import seen, variants
from tests.unit._pb.pairs import PAIRS, THEIR_NAMES, messages_of

each_pair = pytest.mark.parametrize(
    ("ours", "theirs", "independent"),
    [pytest.param(*pair, id=pair[0].DESCRIPTOR.full_name) for pair in PAIRS],
)

MODULES = [core_pb2, ext_proc_pb2, access_log_pb2, token_usage_pb2, health_pb2]

# Theirs is an enum that lists the known codes, ours takes any: the same varint.
STATUS_CODES = {"epp.ext_proc.HttpStatus.code", "envoy.type.v3.HttpStatus.code"}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.DESCRIPTOR.name)
def test_names_leave_room_for_the_originals_in_the_same_process(module: ModuleType) -> None:
    assert module.DESCRIPTOR.name.startswith("epp/_pb/")
    assert module.DESCRIPTOR.package.startswith("epp.")


def test_every_message_of_ours_has_its_pair() -> None:
    present = {
        message.full_name
        for module in (core_pb2, ext_proc_pb2, access_log_pb2)
        for message in messages_of(module.DESCRIPTOR.message_types_by_name.values())
    }
    assert present == set(THEIR_NAMES)


@each_pair
def test_definition_is_a_part_of_theirs(
    ours: type[Message], theirs: type[Message], independent: type[Any]
) -> None:
    for field in ours.DESCRIPTOR.fields:
        assert _facts(field) == _facts(theirs.DESCRIPTOR.fields_by_number[field.number])


def _facts(field: FieldDescriptor) -> dict[str, object]:
    """All that decides how a field is written and read. Names of types are those of theirs."""
    is_status = field.full_name in STATUS_CODES
    facts: dict[str, object] = {
        "name": field.name,
        "type": FieldDescriptor.TYPE_INT32 if is_status else field.type,
        "repeated": field.is_repeated,
        "presence": field.has_presence,
        "oneof": field.containing_oneof and field.containing_oneof.name,
    }
    if (entry := field.message_type) is not None and entry.GetOptions().map_entry:
        facts["map"] = [_facts(part) for part in entry.fields]
    elif entry is not None:
        facts["message"] = THEIR_NAMES.get(entry.full_name, entry.full_name)
    return facts


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param(field.enum_type, twin.enum_type, id=field.full_name)
        for mine, other, _ in PAIRS
        for field in mine.DESCRIPTOR.fields
        if field.enum_type is not None
        and (twin := other.DESCRIPTOR.fields_by_number.get(field.number)) is not None
        and twin.enum_type is not None
    ],
)
def test_enum_is_a_part_of_theirs(ours: EnumDescriptor, theirs: EnumDescriptor) -> None:
    numbers = {value.name: value.number for value in theirs.values}
    assert {value.name: value.number for value in ours.values}.items() <= numbers.items()


@each_pair
def test_no_field_stays_empty_below(
    ours: type[Message], theirs: type[Message], independent: type[Any]
) -> None:
    filled = {field.name for message in variants(ours) for field, _ in message.ListFields()}
    assert filled == set(ours.DESCRIPTOR.fields_by_name)


@each_pair
def test_xds_protos_reads_what_we_write_and_writes_what_we_read(
    ours: type[Message], theirs: type[Message], independent: type[Any]
) -> None:
    for message in variants(ours):
        read = theirs.FromString(message.SerializeToString())
        assert seen(read, ours.DESCRIPTOR) == seen(message, ours.DESCRIPTOR)
        assert ours.FromString(read.SerializeToString()) == message


@each_pair
def test_envoy_data_plane_reads_what_we_write_and_writes_what_we_read(
    ours: type[Message], theirs: type[Message], independent: type[Any]
) -> None:
    for message in variants(ours):
        read = independent.parse(message.SerializeToString())
        assert seen(read, ours.DESCRIPTOR) == seen(message, ours.DESCRIPTOR)
        assert ours.FromString(bytes(read)) == message


@each_pair
def test_what_we_do_not_know_is_ignored(
    ours: type[Message], theirs: type[Message], independent: type[Any]
) -> None:
    for message in variants(theirs, depth=5):
        read = ours.FromString(message.SerializeToString())
        assert seen(read, ours.DESCRIPTOR) == seen(message, ours.DESCRIPTOR)
