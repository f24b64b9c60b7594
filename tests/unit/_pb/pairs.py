"""Our messages next to the same ones of two independent codecs: xds-protos (upb, made from Envoy's
own definitions) and envoy-data-plane (betterproto, a codec written in Python).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from envoy.config.core.v3 import address_pb2, base_pb2
from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.extensions.filters.http.ext_proc.v3 import processing_mode_pb2
from envoy.service.accesslog.v3 import als_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as external
from envoy.type.v3 import http_status_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from epp._pb import access_log_pb2, core_pb2, ext_proc_pb2

with warnings.catch_warnings():
    # The generated classes use a spelling that their pydantic deprecates.
    warnings.simplefilter("ignore", DeprecationWarning)
    from envoy_data_plane.envoy.config.core import v3 as better_core
    from envoy_data_plane.envoy.data.accesslog import v3 as better_entries
    from envoy_data_plane.envoy.extensions.filters.http.ext_proc import v3 as better_filter
    from envoy_data_plane.envoy.service.accesslog import v3 as better_log
    from envoy_data_plane.envoy.service.ext_proc import v3 as better
    from envoy_data_plane.envoy.type import v3 as better_type

_OURS = access_log_pb2.StreamAccessLogsMessage
_XDS = als_pb2.StreamAccessLogsMessage

# Ours, the one of xds-protos, the one of envoy-data-plane.
PAIRS: list[tuple[type[Message], type[Message], type[Any]]] = [
    (core_pb2.HeaderValue, base_pb2.HeaderValue, better_core.HeaderValue),
    (core_pb2.HeaderMap, base_pb2.HeaderMap, better_core.HeaderMap),
    (core_pb2.HeaderValueOption, base_pb2.HeaderValueOption, better_core.HeaderValueOption),
    (core_pb2.Metadata, base_pb2.Metadata, better_core.Metadata),
    (core_pb2.SocketAddress, address_pb2.SocketAddress, better_core.SocketAddress),
    (core_pb2.Address, address_pb2.Address, better_core.Address),
    *(
        (getattr(ext_proc_pb2, name), getattr(external, name), getattr(better, name))
        for name in (
            "ProtocolConfiguration",
            "HttpHeaders",
            "HttpBody",
            "HttpTrailers",
            "ProcessingRequest",
            "HeaderMutation",
            "StreamedBodyResponse",
            "BodyMutation",
            "CommonResponse",
            "HeadersResponse",
            "BodyResponse",
            "TrailersResponse",
            "GrpcStatus",
            "ImmediateResponse",
            "ProcessingResponse",
        )
    ),
    (
        ext_proc_pb2.ProcessingMode,
        processing_mode_pb2.ProcessingMode,
        better_filter.ProcessingMode,
    ),
    (ext_proc_pb2.HttpStatus, http_status_pb2.HttpStatus, better_type.HttpStatus),
    (
        access_log_pb2.AccessLogCommon,
        accesslog_pb2.AccessLogCommon,
        better_entries.AccessLogCommon,
    ),
    (
        access_log_pb2.HTTPRequestProperties,
        accesslog_pb2.HTTPRequestProperties,
        better_entries.HttpRequestProperties,
    ),
    (
        access_log_pb2.HTTPResponseProperties,
        accesslog_pb2.HTTPResponseProperties,
        better_entries.HttpResponseProperties,
    ),
    (
        access_log_pb2.HTTPAccessLogEntry,
        accesslog_pb2.HTTPAccessLogEntry,
        better_entries.HttpAccessLogEntry,
    ),
    (_OURS, _XDS, better_log.StreamAccessLogsMessage),
    (_OURS.Identifier, _XDS.Identifier, better_log.StreamAccessLogsMessageIdentifier),
    (
        _OURS.HTTPAccessLogEntries,
        _XDS.HTTPAccessLogEntries,
        better_log.StreamAccessLogsMessageHttpAccessLogEntries,
    ),
]
THEIR_NAMES = {ours.DESCRIPTOR.full_name: theirs.DESCRIPTOR.full_name for ours, theirs, _ in PAIRS}


def messages_of(descriptors: Iterable[Descriptor]) -> Iterator[Descriptor]:
    for descriptor in descriptors:
        if not descriptor.GetOptions().map_entry:
            yield descriptor
            yield from messages_of(descriptor.nested_types)
