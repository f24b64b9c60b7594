from __future__ import annotations

from epp.core.refusal import Reason, Refused
from epp.envoyconfig.listener import listener
from epp.envoyconfig.refusals import local_replies
from epp.envoyconfig.settings import EnvoySettings, Mode
from epp.extproc.http_status import immediate


def test_envoy_refuses_a_body_in_the_words_of_the_picker():
    [mapper] = local_replies(1000)["mappers"]
    refusal = Refused(Reason.BODY_TOO_LARGE, "the request body is larger than 1000 bytes")
    ours = immediate(refusal)
    said = mapper["body_format_override"]
    headers = {"content-type": said["content_type"]}
    for added in mapper["headers_to_add"]:
        headers[added["header"]["key"]] = added["header"]["value"]
    assert said["text_format_source"]["inline_string"].encode() == ours.body
    assert headers == dict(ours.headers)
    # Not by the status: the refusal of another ext-proc server has it as well.
    expression = mapper["filter"]["extension_filter"]["typed_config"]["expression"]
    assert expression == 'response.code_details == "request_payload_too_large"'


def test_in_full_mode_the_words_are_left_to_the_picker():
    for mode in Mode:
        settings = EnvoySettings(8080, 9002, ("127.0.0.1:8000",), mode=mode)
        [chain] = listener(settings)["filter_chains"]
        [manager] = chain["filters"]
        assert ("local_reply_config" in manager["typed_config"]) is (mode is Mode.LIGHT)
