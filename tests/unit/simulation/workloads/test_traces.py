from __future__ import annotations

import json
from pathlib import Path

import pytest

from epp.simulation.workloads.traces import TracedRequest, TraceError, TraceFile, read_trace

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,374,44
2023-11-16 18:17:05.4799600,396,109
"""
BURSTGPT = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,GPT-4,1087,0,1087,API log
118,ChatGPT,417,276,693,Conversation log
"""


def mooncake(*requests: tuple[int, int, int, list[int]]) -> str:
    names = ("timestamp", "input_length", "output_length", "hash_ids")
    return "".join(
        json.dumps(dict(zip(names, request, strict=True))) + "\n" for request in requests
    )


def read(folder: Path, text: str, **options: object) -> list[TracedRequest]:
    file = folder / "trace"
    file.write_text(text, encoding="utf-8")
    return read_trace(TraceFile(str(file), **options))  # type: ignore[arg-type]


def sizes(requests: list[TracedRequest]) -> list[tuple[float, int, int]]:
    return [
        (r.at_seconds, sum(s.tokens for s in r.turn.segments), r.turn.output_tokens)
        for r in requests
    ]


def test_azure(tmp_path: Path) -> None:
    found = sizes(read(tmp_path, AZURE))
    assert found == [(0.0, 374, 44), (pytest.approx(1.5), 396, 109)]


def test_azure_with_a_time_zone(tmp_path: Path) -> None:
    text = AZURE.replace("9799600", "979960+00:00")
    assert sizes(read(tmp_path, text))[1][0] == pytest.approx(1.5)


def test_burstgpt_without_the_failed_ones(tmp_path: Path) -> None:
    assert sizes(read(tmp_path, BURSTGPT)) == [(0.0, 472, 18), (113.0, 417, 276)]


def test_mooncake_shares_the_blocks_that_are_called_alike(tmp_path: Path) -> None:
    text = mooncake((0, 1100, 50, [0, 1, 2]), (2000, 1600, 60, [0, 1, 3, 4]))
    one, other = (r.turn.segments for r in read(tmp_path, text))
    assert [s.tokens for s in one] == [512, 512, 76]
    assert [s.tokens for s in other] == [512, 512, 512, 64]
    assert [a == b for a, b in zip(one, other, strict=False)] == [True, True, False]


def test_mooncake_text_beyond_its_blocks_is_shared_with_nobody(tmp_path: Path) -> None:
    text = mooncake((0, 600, 5, [7]), (1, 600, 5, [7]))
    one, other = (r.turn.segments for r in read(tmp_path, text))
    assert one[0] == other[0]
    assert one[1].tokens == other[1].tokens == 88
    assert one[1] != other[1]


def test_without_ids_nothing_is_shared(tmp_path: Path) -> None:
    keys = [r.turn.segments[0].key for r in read(tmp_path, AZURE)]
    assert len(set(keys)) == 2


def test_requests_are_put_in_order_and_start_at_nought(tmp_path: Path) -> None:
    text = mooncake((9000, 10, 1, []), (4000, 20, 1, []))
    assert sizes(read(tmp_path, text)) == [(0.0, 20, 1), (5.0, 10, 1)]


def test_a_trace_can_be_faster_and_cut(tmp_path: Path) -> None:
    text = mooncake(*[(1000 * n, 10, 1, []) for n in range(10)])
    assert [at for at, _, _ in sizes(read(tmp_path, text, speedup=2.0))][:3] == [0.0, 0.5, 1.0]
    assert len(read(tmp_path, text, speedup=2.0, seconds=2.0)) == 4


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("hello\n", ":1: is the beginning of none of mooncake, azure, burstgpt"),
        ("", ":1: is the beginning of none"),
        (mooncake((0, 10, 1, [])) + "{", ":2: .*unexpected end"),
        (mooncake((0, 10, 1, [])) + "\n[]\n", ":3: "),
        ('{"timestamp": 0, "input_length": 5}\n', ":1: has no 'output_length'"),
        (mooncake((0, 10, 1, [1, 2])), ":1: 2 hash_ids for 10 tokens"),
        (mooncake((0, -10, 1, [])), ":1: .*tokens below 0"),
        (mooncake((0, 10**12, 1, [])), ":1: a prompt or an answer of more than 10000000 tokens"),
        (mooncake((0, 1, 10**8, [])), ":1: a prompt or an answer of more than 10000000 tokens"),
        (AZURE + "yesterday,1,1\n", ":4: Invalid isoformat string: 'yesterday'"),
        (AZURE + "2023-11-16 18:17:05,many,1\n", ":4: .*'many'"),
        (AZURE + "2023-11-16 18:17:05\n", ":4: "),
        (BURSTGPT + "nan,ChatGPT,1,1,2,API log\n", ":5: a time that is no number"),
        (BURSTGPT.splitlines()[0] + "\n", ": holds no request"),
    ],
)
def test_what_is_no_trace_is_told_with_file_and_line(
    tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(TraceError, match=f"trace{problem}"):
        read(tmp_path, text)


def test_a_format_that_is_given_is_taken_at_its_word(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"trace:2: has no 'Timestamp' \(burstgpt\)"):
        read(tmp_path, AZURE, format="burstgpt")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="nowhere"):
        read_trace(TraceFile(str(tmp_path / "nowhere")))


@pytest.mark.parametrize("wrong", [{"speedup": 0.0}, {"seconds": 0.0}])
def test_a_replay_that_never_ends_or_begins_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        TraceFile("x", **wrong)  # type: ignore[arg-type]
