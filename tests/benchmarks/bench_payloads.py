"""Microseconds to read a request body, to rewrite its model, and to read a response."""

from __future__ import annotations

import timeit
from collections.abc import Callable
from functools import partial

import orjson

from epp.payloads.request import read_request, with_model
from epp.payloads.response import ResponseReader

CHAT = "/v1/chat/completions"
PLAIN = "the answer is in the following paragraph of the document "
ESCAPED = 'the "answer" is in the\nfollowing "paragraph" of the document '
EVENT = b'data: {"id":"x","model":"target","choices":[{"delta":{"content":" word"}}]}\n\n'
USAGE = b'data: {"id":"x","model":"target","choices":[],"usage":{"prompt_tokens":9}}\n\n'


def chat(characters: int, text: str) -> bytes:
    """Messages first and the model behind them, as the official client writes it."""
    content = (text * (characters // len(text) + 1))[:characters]
    return orjson.dumps(
        {"messages": [{"role": "user", "content": content}], "model": "m", "stream": True}
    )


def turns(count: int) -> bytes:
    messages = [{"role": "user", "content": PLAIN}, {"role": "assistant", "content": ESCAPED}]
    return orjson.dumps({"messages": messages * (count // 2), "model": "m"})


def read_stream(restore: tuple[str, str]) -> None:
    reader = ResponseReader("text/event-stream", restore=restore)
    for _ in range(99):
        reader.feed(EVENT, False)
    reader.feed(USAGE, True)
    assert reader.usage is not None


def show(name: str, run: Callable[[], object]) -> None:
    timer = timeit.Timer(run)
    times, seconds = timer.autorange()
    best = min(seconds, *timer.repeat(3, times)) / times
    print(f"{name:44} {best * 1e6:9.1f} us")


def main() -> None:
    bodies = {
        "chat, 900 characters": chat(900, PLAIN),
        "chat, 10 000 characters": chat(10_000, PLAIN),
        "chat, 400 000 characters": chat(400_000, PLAIN),
        "chat, 400 000 characters with escapes": chat(400_000, ESCAPED),
        "chat, 4000 messages, 260 KB": turns(4000),
    }
    for name, body in bodies.items():
        show(name, partial(read_request, CHAT, {}, body))
        show("  rewritten", partial(with_model, body, "target"))
    tokens = orjson.dumps({"prompt": list(range(100_000)), "model": "m"})
    show("completions, 100 000 token ids", partial(read_request, "/v1/completions", {}, tokens))
    show("embeddings, 100 000 token ids", partial(read_request, "/v1/embeddings", {}, tokens))
    show("response of 100 events", partial(read_stream, ("", "")))
    show("  with the model restored", partial(read_stream, ("target", "public")))


if __name__ == "__main__":
    main()
