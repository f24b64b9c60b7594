"""A session stays on its server behind a real Envoy, by the token that its client brings back."""

from __future__ import annotations

from base64 import b64decode, b64encode

import pytest

from epp.envoyconfig.settings import Mode
from tests.helpers.picker import running_stack

PROMPT = [{"role": "user", "content": "Say something."}]
BY_TURNS = [{"type": "session-affinity-filter"}, {"type": "round-robin-picker"}]


@pytest.mark.parametrize("mode", list(Mode))
async def test_the_token_of_an_answer_leads_back_to_its_server(mode: Mode) -> None:
    document = {"plugins": BY_TURNS}
    async with running_stack(mode, count=3, document=document) as stack, stack.client() as client:

        async def ask(token: str = "") -> str:
            answer = await client.chat.completions.with_raw_response.create(  # type: ignore[call-overload]
                model="sim",
                messages=PROMPT,
                max_tokens=2,
                extra_headers={"x-session-token": token} if token else {},
            )
            found: str = answer.headers["x-session-token"]
            return found

        tokens = [await ask() for _ in range(3)]
        names = sorted(b64decode(token).decode() for token in tokens)
        assert names == ["default/s0", "default/s1", "default/s2"]
        for token in (*tokens, *tokens):
            assert await ask(token) == token
        gone = b64encode(b"default/gone").decode()
        assert await ask(gone) in tokens
