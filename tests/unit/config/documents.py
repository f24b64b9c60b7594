"""Configuration documents of the tests, each from below its head."""

from __future__ import annotations

import pytest

from epp.config.build import read_configuration
from epp.config.errors import ConfigError
from epp.config.settings import Configuration

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"


def read(body: str) -> Configuration:
    return read_configuration(HEAD + body)


def problems(body: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(body)
    return str(caught.value)
