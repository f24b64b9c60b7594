import pytest

from epp.simulation.profiles import PROFILES


def decode(profile: str, sequences: int, context: int) -> float:
    return 1e3 * PROFILES[profile].step_seconds(sequences, sequences, sequences * context, 0)


def prefill(profile: str, tokens: int) -> float:
    return 1e3 * PROFILES[profile].step_seconds(tokens, 1, 0, tokens * tokens / 2)


@pytest.mark.parametrize(
    ("profile", "sequences", "context", "expected_ms"),
    [
        pytest.param("8b-h100", 1, 512, 7.0, id="8b-h100-1"),
        pytest.param("8b-h100", 32, 1024, 9.2, id="8b-h100-32"),
        pytest.param("8b-h100", 64, 1024, 11.6, id="8b-h100-64"),
        pytest.param("8b-h100", 256, 1024, 28, id="8b-h100-256"),
        pytest.param("8b-a100", 1, 512, 11, id="8b-a100-1"),
        pytest.param("8b-a100", 32, 1024, 15, id="8b-a100-32"),
        pytest.param("8b-a100", 256, 1024, 53, id="8b-a100-256"),
        pytest.param("8b-l4", 1, 512, 69, id="8b-l4-1"),
        pytest.param("8b-l4", 32, 1024, 90, id="8b-l4-32"),
        pytest.param("32b-h100-tp2", 1, 512, 19, id="32b-h100-tp2-1"),
        pytest.param("32b-h100-tp2", 256, 1024, 44, id="32b-h100-tp2-256"),
        pytest.param("70b-h100-tp4", 64, 1024, 26, id="70b-h100-tp4-64"),
        pytest.param("70b-h100-tp8", 256, 1024, 27, id="70b-h100-tp8-256"),
    ],
)
def test_decode_steps_take_what_the_hardware_takes(
    profile: str, sequences: int, context: int, expected_ms: float
) -> None:
    assert decode(profile, sequences, context) == pytest.approx(expected_ms, rel=0.15)


@pytest.mark.parametrize(
    ("profile", "tokens", "expected_ms"),
    [
        pytest.param("8b-h100", 256, 11, id="8b-h100-256"),
        pytest.param("8b-h100", 2048, 68, id="8b-h100-2048"),
        pytest.param("8b-h100", 8192, 299, id="8b-h100-8192"),
        pytest.param("8b-a100", 256, 26, id="8b-a100-256"),
        pytest.param("8b-a100", 2048, 191, id="8b-a100-2048"),
        pytest.param("8b-l4", 2048, 582, id="8b-l4-2048"),
        pytest.param("32b-h100-tp2", 2048, 139, id="32b-h100-tp2-2048"),
        pytest.param("70b-h100-tp4", 8192, 679, id="70b-h100-tp4-8192"),
        pytest.param("70b-h100-tp8", 256, 20, id="70b-h100-tp8-256"),
    ],
)
def test_prefill_steps_take_what_the_hardware_takes(
    profile: str, tokens: int, expected_ms: float
) -> None:
    assert prefill(profile, tokens) == pytest.approx(expected_ms, rel=0.15)
