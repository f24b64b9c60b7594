from __future__ import annotations

import pytest

from epp.bodyrouting.plugins import PluginError, settings_of
from epp.bodyrouting.settings import (
    BASE_MODEL_HEADER,
    MODEL_HEADER,
    FieldHeader,
    RoutingSettings,
)

MODEL = 'body-field-to-header:m:{"field_name":"model","header_name":"X-Gateway-Model-Name"}'


def test_without_a_flag_model_and_base_model_are_set() -> None:
    settings = settings_of([])
    assert settings == RoutingSettings()
    assert settings.names() == ("model",)
    assert set(settings.headers()) == {MODEL_HEADER, BASE_MODEL_HEADER}


def test_the_flags_of_the_chart_are_the_default() -> None:
    assert settings_of([MODEL, "base-model-to-header:base-model-mapper"]) == RoutingSettings()


def test_other_fields_and_headers() -> None:
    user = 'body-field-to-header:u:{"field_name":"user","header_name":"X-User"}'
    settings = settings_of([user])
    assert settings.fields == (FieldHeader("user", "x-user"),)
    assert settings.names() == ("user",)
    # What a client sends of the default's headers is removed all the same.
    assert set(settings.headers()) == {"x-user", MODEL_HEADER, BASE_MODEL_HEADER}


def test_the_base_model_alone_reads_the_model() -> None:
    settings = settings_of(["base-model-to-header:b"])
    assert settings.fields == ()
    assert settings.names() == ("model",)


@pytest.mark.parametrize(
    ("specs", "text"),
    [
        (["base-model-to-header"], "type:name"),
        ([":x"], "type:name"),
        (["x:y"], "unknown type 'x'"),
        ([MODEL, MODEL], "the name 'm' is given already"),
        ([MODEL, MODEL.replace(":m:", ":n:")], "set by another plugin"),
        (["body-field-to-header:m"], "field_name: a text is required"),
        (["body-field-to-header:m:{"], "no JSON"),
        (["body-field-to-header:m:7"], "must be a JSON object"),
        (['body-field-to-header:m:{"field_name":7}'], "field_name: a text"),
        (['body-field-to-header:m:{"field_name":"f"}'], "header_name: a text"),
        (['body-field-to-header:m:{"field":"f"}'], "unknown parameter 'field'"),
        (['base-model-to-header:b:{"x":1}'], "unknown parameter 'x'; known are: none"),
        ([MODEL.replace("X-Gateway-Model-Name", "a b")], "not the name of a header"),
        ([MODEL.replace("X-Gateway-Model-Name", ":path")], "not the name of a header"),
        ([MODEL.replace("X-Gateway-Model-Name", "Host")], "must not be set"),
        ([MODEL.replace("X-Gateway-Model-Name", BASE_MODEL_HEADER)], "base-model-to-header"),
    ],
)
def test_a_flag_that_cannot_be_used_is_told(specs: list[str], text: str) -> None:
    with pytest.raises(PluginError, match=text) as caught:
        settings_of(specs)
    assert specs[-1] in str(caught.value)
