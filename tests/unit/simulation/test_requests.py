import pytest

from epp.simulation.requests import EngineRequest


@pytest.mark.parametrize(
    ("limit", "stop", "output", "reason"),
    [
        pytest.param(8, None, 8, "length", id="no stop"),
        pytest.param(8, 5, 5, "stop", id="stops before the limit"),
        pytest.param(8, 8, 8, "stop", id="stops at the limit"),
        pytest.param(8, 9, 8, "length", id="would stop after the limit"),
    ],
)
def test_length_and_finish_reason(limit: int, stop: int | None, output: int, reason: str) -> None:
    request = EngineRequest("r", 3, limit, stop_after_tokens=stop)
    assert (request.output_tokens, request.finish_reason) == (output, reason)


@pytest.mark.parametrize(
    ("prompt", "output"), [pytest.param(0, 1, id="prompt"), pytest.param(1, 0, id="answer")]
)
def test_an_empty_prompt_or_answer_is_refused(prompt: int, output: int) -> None:
    with pytest.raises(ValueError, match="at least one token"):
        EngineRequest("r", prompt, output)
