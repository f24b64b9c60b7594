from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.core.endpoint import authority
from epp.envoyconfig.settings import Balancing, EnvoySettings, Mode, split_authority

SETTINGS = EnvoySettings(listen_port=8080, picker_port=9002, model_servers=("127.0.0.1:8000",))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        pytest.param("10.0.0.1:8000", ("10.0.0.1", 8000), id="ipv4"),
        pytest.param("[::1]:8000", ("::1", 8000), id="ipv6"),
        pytest.param("10.0.0.1:65535", ("10.0.0.1", 65535), id="highest port"),
    ],
)
def test_an_authority_is_an_ip_literal_and_a_port(text, parts):
    assert split_authority(text) == parts


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("gpu-1:8000", "resolve a host name first", id="host name"),
        pytest.param("localhost:8000", "resolve a host name first", id="localhost"),
        pytest.param("http://10.0.0.1:8000", "is not IP:port", id="url"),
        pytest.param("10.0.0.1", "is not IP:port", id="no port"),
        pytest.param("10.0.0.1:", "no port", id="empty port"),
        pytest.param("10.0.0.1:0", "no port", id="port zero"),
        pytest.param("10.0.0.1:65536", "no port", id="port too high"),
        pytest.param("10.0.0.1:80a", "no port", id="port not a number"),
        pytest.param("10.0.0.1:+80", "no port", id="signed port"),
        pytest.param("10.0.0.1:²", "no port", id="digit that is no number"),
        pytest.param("::1:8000", "brackets", id="ipv6 without brackets"),
        pytest.param("[10.0.0.1]:8000", "brackets", id="ipv4 in brackets"),
        pytest.param("", "is not IP:port", id="empty"),
    ],
)
def test_other_text_is_no_authority(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        split_authority(text)


@given(st.ip_addresses().map(str), st.integers(1, 65535))
def test_the_authority_of_every_endpoint_can_be_split_again(address, port):
    assert split_authority(authority(address, port)) == (address, port)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param({"model_servers": ("10.0.0.1:1", "gpu:1")}, r"model_servers\[1\]", id="name"),
        pytest.param({"model_servers": ()}, "model_servers: is empty", id="no servers"),
        pytest.param({"model_server_names": ("gpu:1",)}, "only one may be", id="both"),
        pytest.param(
            {"model_servers": (), "model_server_names": ("gpu:1", "gpu:0")},
            r"model_server_names\[1\]: 'gpu:0' has no port",
            id="name without port",
        ),
        pytest.param(
            {"model_servers": (), "model_server_names": ("10.0.0.1:80",)},
            r"model_server_names\[0\]: '10.0.0.1:80' is not name:port",
            id="address for a name",
        ),
        pytest.param({"status_port": 19001}, "status_port", id="status without admin"),
        pytest.param({"status_port": -1, "admin_port": 1}, "status_port", id="status port"),
        pytest.param({"listen_port": -1}, "listen_port", id="listen port"),
        pytest.param({"picker_port": 0}, "picker_port", id="picker port"),
        pytest.param({"admin_port": 65536}, "admin_port", id="admin port"),
        pytest.param({"listen_host": "localhost"}, "listen_host", id="listen host"),
        pytest.param({"admin_host": "localhost"}, "admin_host", id="admin host"),
        pytest.param({"picker_host": ""}, "picker_host", id="picker host"),
        pytest.param({"max_body_bytes": 0}, "max_body_bytes", id="no body"),
        pytest.param({"max_body_bytes": 2**32}, "max_body_bytes", id="body beyond 32 bits"),
        pytest.param({"message_timeout_seconds": 0}, "message_timeout_seconds", id="no time"),
        pytest.param(
            {"access_log_flush_seconds": 0.0004}, "access_log_flush_seconds", id="rounds to zero"
        ),
        pytest.param(
            {"server_idle_timeout_seconds": float("nan")},
            "server_idle_timeout_seconds",
            id="not a number",
        ),
        pytest.param(
            {"message_timeout_seconds": 700.0},
            "max_message_timeout_seconds",
            id="above the maximum",
        ),
        pytest.param(
            {"stream_idle_timeout_seconds": 660.0},
            "would end a request that waits",
            id="idle before the wait ends",
        ),
    ],
)
def test_what_envoy_or_we_could_not_live_with_is_refused_by_name(change, complaint):
    with pytest.raises(ValueError, match=complaint):
        replace(SETTINGS, **change)


def test_original_dst_needs_no_list_of_servers():
    settings = replace(SETTINGS, balancing=Balancing.ORIGINAL_DST, model_servers=())
    assert settings.model_servers == ()


@pytest.mark.parametrize(
    ("mode", "version", "token_usage", "selected_host"),
    [
        pytest.param(Mode.LIGHT, (1, 40, 0), True, True, id="light, 1.40.0"),
        pytest.param(Mode.LIGHT, (1, 40), True, True, id="light, 1.40"),
        pytest.param(Mode.LIGHT, (2, 0, 0), True, True, id="light, 2.0"),
        pytest.param(Mode.LIGHT, (1, 39, 9), False, True, id="light, 1.39"),
        pytest.param(Mode.LIGHT, (1, 37, 4), False, False, id="light, 1.37"),
        pytest.param(Mode.FULL, (1, 40, 0), False, True, id="full, 1.40.0"),
    ],
)
def test_parts_that_depend_on_the_release(mode, version, token_usage, selected_host):
    settings = replace(SETTINGS, mode=mode, envoy_version=version)
    assert settings.has_token_usage is token_usage
    assert settings.has_selected_host is selected_host
