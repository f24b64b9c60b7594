"""What Envoy refuses before the picker can, in the words that the picker has for it."""

from __future__ import annotations

import json

from epp.core.refusal import Reason
from epp.envoyconfig.protojson import Json

DROPPED_REASON = "x-llm-d-request-dropped-reason"
DETAILS = "request_payload_too_large"


def local_replies(max_body_bytes: int) -> Json:
    """A body over the buffer. Of model servers' own answers and other errors nothing changes."""
    # By Envoy itself: a refusal of any ext-proc server before or behind us is a local reply, too.
    is_too_large = {
        "extension_filter": {
            "name": "envoy.access_loggers.extension_filters.cel",
            "typed_config": {
                "@type": "type.googleapis.com/"
                "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                "expression": f'response.code_details == "{DETAILS}"',
            },
        }
    }
    reason = {"key": DROPPED_REASON, "value": Reason.BODY_TOO_LARGE.value}
    return {
        "mappers": [
            {
                "filter": is_too_large,
                "headers_to_add": [
                    {"header": reason, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
                ],
                "body_format_override": {
                    "text_format_source": {"inline_string": _too_large(max_body_bytes)},
                    "content_type": "application/json",
                },
            }
        ]
    }


def _too_large(max_body_bytes: int) -> str:
    detail = f"the request body is larger than {max_body_bytes} bytes"
    error = {
        "message": f"inference error: PayloadTooLarge - {detail}",
        "type": "PayloadTooLarge",
        "param": None,
        "code": Reason.BODY_TOO_LARGE.value,
    }
    return json.dumps({"error": error}, separators=(",", ":"))
