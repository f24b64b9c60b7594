from __future__ import annotations

import copy

import pytest

from epp.config.build import configuration_of, read_configuration
from epp.datalayer.discovery.file import FileDiscoverySettings
from epp.local.document import with_endpoints

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
OWN_DISCOVERY = """
plugins:
- {type: file-discovery, parameters: {path: mine.yaml}}
- {type: queue-scorer, name: local-endpoints}
dataLayer: {discovery: {pluginRef: file-discovery}}
"""


@pytest.mark.parametrize("text", ["", "plugins: [{type: queue-scorer}]", OWN_DISCOVERY])
def test_a_valid_document_is_valid_with_endpoints_and_finds_them(text: str) -> None:
    given = read_configuration(HEAD + text)
    before = copy.deepcopy(given.document)
    found = configuration_of(with_endpoints(given.document, "endpoints.yaml"))
    assert isinstance(found.discovery, FileDiscoverySettings)
    assert str(found.discovery.path) == "endpoints.yaml"
    assert found.profile == given.profile
    assert given.document == before


def test_the_rest_of_the_data_layer_stays() -> None:
    document = {**read_configuration(HEAD).document, "dataLayer": {"injectDefaults": False}}
    assert with_endpoints(document, "e.yaml")["dataLayer"]["injectDefaults"] is False
