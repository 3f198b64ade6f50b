"""Server-sent events: any cutting, any line ending."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_engine.errors import InferenceError
from tts_engine.llm.sse import MAX_EVENT_BYTES, SSEDecoder

PARTS = st.sampled_from(
    [b"data: a", b"data:b", b"data:", b"data", b"data:  c", b": ping", b":", b"event: x", b"datax: y", b"id: 1",
     b"retry", "data: é\u2028".encode(), b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"\xef\xbb\xbf", b"\n\r"]
)  # fmt: skip


def decode(*chunks: bytes) -> list[bytes]:
    decoder = SSEDecoder()
    return [*itertools.chain.from_iterable(decoder.feed(chunk) for chunk in chunks), *decoder.flush()]


def plain(stream: bytes) -> list[bytes]:
    """The standard's rules, line by line."""
    stream = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events: list[bytes] = []
    data: list[bytes] = []
    for line in [*stream.split(b"\n"), b""]:
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
        elif not line and data:
            events.append(b"\n".join(data))
            data = []
    return events


@given(st.lists(PARTS, max_size=30).map(b"".join), st.lists(st.integers(0, 200), max_size=20))
def test_any_cutting_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[a:b] for a, b in itertools.pairwise(edges)]
    assert decode(*chunks) == decode(stream) == plain(stream)


def test_every_two_cuts_give_the_same_events() -> None:
    stream = b"\xef\xbb\xbfdata: a\n\ndata: b\r\rdata: c\r\n\r\ndata: d\n\n: x\r\r\n\n"
    for first, second in itertools.combinations(range(len(stream) + 1), 2):
        assert decode(stream[:first], stream[first:second], stream[second:]) == [b"a", b"b", b"c", b"d"]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_event_is_out_as_soon_as_it_is_complete(end: bytes) -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: a" + end + end) == [b"a"]
    assert decoder.feed(b"data: b" + end) == []
    assert decoder.feed(end) == [b"b"]


def test_decoder_is_as_new_after_flush() -> None:
    decoder = SSEDecoder()
    decoder.feed(b"data: a\r")
    assert decoder.flush() == [b"a"]
    assert decoder.feed(b"\xef\xbb\xbfdata: b\n\n") == [b"b"]
    assert decoder.flush() == []


def test_several_data_lines_are_one_event() -> None:
    assert decode(b"data: a\ndata: b\n\n") == [b"a\nb"]


@pytest.mark.parametrize("piece", [b"x" * 4096, b"data: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\n", b"data\n"])
def test_line_or_event_without_end_is_an_error_not_a_memory_leak(piece: bytes) -> None:
    decoder = SSEDecoder()
    with pytest.raises(InferenceError, match="no stream of tokens"):
        for _ in range(MAX_EVENT_BYTES + 1):
            decoder.feed(piece)
