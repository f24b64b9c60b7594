"""Messages with every field set, and what a message of any codec says, as plain values."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp


def variants(message_class: type[Message], depth: int = 9) -> Iterator[Message]:
    """Messages with every field set, and between them every member of every oneof."""
    descriptor = message_class.DESCRIPTOR
    oneofs = [oneof.fields for oneof in descriptor.oneofs]
    for turn in range(max([1, *map(len, oneofs)])):
        chosen = {members[turn % len(members)].name for members in oneofs}
        message = message_class()
        for field in descriptor.fields:
            if field.containing_oneof is None or field.name in chosen:
                _fill(message, field, depth)
        yield message


def _fill(message: Message, field: FieldDescriptor, depth: int) -> None:
    target = getattr(message, field.name)
    entry = field.message_type
    if entry is None:
        if field.is_repeated:
            target.extend([_scalar(field), _scalar(field)])
        else:
            setattr(message, field.name, _scalar(field))
    elif depth == 0:
        return
    elif entry.GetOptions().map_entry:
        value = entry.fields_by_name["value"]
        for key in ("", f"{field.name} é"):
            if value.message_type is None:
                target[key] = _scalar(value)
            else:
                target[key].CopyFrom(_nested(target[key], depth))
    elif field.is_repeated:
        for _ in range(2):
            item = target.add()
            item.CopyFrom(_nested(item, depth))
    else:
        target.CopyFrom(_nested(target, depth))


def _nested(prototype: Message, depth: int) -> Message:
    match prototype:
        case Struct():
            struct = Struct()
            struct.update({"text": "é", "number": 1.5, "yes": True, "none": None, "in": {"": [""]}})
            return struct
        case Packed():
            packed = Packed()
            packed.Pack(Duration(seconds=7))
            return packed
        case Duration():
            return Duration(seconds=3, nanos=125_000)  # whole microseconds: Python's resolution
        case Timestamp():
            return Timestamp(seconds=1_800_000_000, nanos=125_000)
        case _:
            return next(variants(type(prototype), depth - 1))


def _scalar(field: FieldDescriptor) -> object:
    """Never the default, and large enough to show a type that is too narrow."""
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return f"{field.name} é"
        case FieldDescriptor.TYPE_BYTES:
            return b"\x00\xff" + field.name.encode()
        case FieldDescriptor.TYPE_BOOL:
            return True
        case FieldDescriptor.TYPE_UINT32:
            return 2**32 - field.number
        case FieldDescriptor.TYPE_UINT64:
            return 2**64 - field.number
        case FieldDescriptor.TYPE_INT32:
            return 400 + field.number
        case FieldDescriptor.TYPE_ENUM:
            return max(value.number for value in field.enum_type.values)
        case FieldDescriptor.TYPE_DOUBLE:
            return field.number + 0.5
        case other:
            raise AssertionError(f"{field.full_name}: no value for type {other}")


def seen(message: Any, shape: Descriptor) -> dict[str, object]:
    """The values of the fields of `shape`; those that are absent are left out."""
    values = {field.name: _plain(getattr(message, field.name), field) for field in shape.fields}
    present = {
        field.name
        for field in shape.fields
        if not (isinstance(message, Message) and field.has_presence) or message.HasField(field.name)
    }
    return {name: value for name, value in values.items() if name in present and value is not None}


def _plain(value: Any, field: FieldDescriptor) -> object:
    entry = field.message_type
    if value is None:
        return None
    if entry is None:
        return list(value) if field.is_repeated else value
    if entry.GetOptions().map_entry:
        part = entry.fields_by_name["value"]
        return {key: _plain(value[key], part) for key in value}
    if field.is_repeated:
        return [_one(item, entry) for item in value]
    return _one(value, entry)


def _one(value: Any, entry: Descriptor) -> object:
    match entry.full_name:
        case "google.protobuf.Struct":
            return MessageToDict(value) if isinstance(value, Message) else value.to_dict()
        case "google.protobuf.Any":
            return value.type_url, value.value
        case "google.protobuf.Duration" if not isinstance(value, datetime.timedelta):
            return value.ToTimedelta()
        case "google.protobuf.Timestamp" if not isinstance(value, datetime.datetime):
            return value.ToDatetime(datetime.UTC)
        case "google.protobuf.UInt32Value" if not isinstance(value, int):
            return value.value
        case name if name.startswith("google.protobuf."):
            return value
    return seen(value, entry)
