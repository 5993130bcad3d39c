"""Output is cut at exactly the limit, and decoded as if it had never been cut into chunks."""

import pytest

from app.executor.transcript import Recorder, Stream, Transcript

OUT, ERR = Stream.STDOUT, Stream.STDERR


def record(limit: int, *chunks: tuple[Stream, bytes]) -> Transcript:
    recorder = Recorder(limit)
    for stream, chunk in chunks:
        recorder.write(stream, chunk)
    for _ in recorder.finish():
        pass
    return recorder.transcript()


def test_streams_are_apart_and_interleaved() -> None:
    assert record(99, (OUT, b"a"), (ERR, b"b"), (OUT, b"c")) == Transcript("abc", "ac", "b", truncated=False)


def test_exactly_the_limit_is_not_truncated() -> None:
    assert record(4, (OUT, b"ab"), (OUT, b"cd")) == Transcript("abcd", "abcd", "", truncated=False)


def test_one_byte_more_is_truncated_to_the_limit() -> None:
    assert record(4, (OUT, b"abcde")) == Transcript("abcd", "abcd", "", truncated=True)


def test_the_limit_counts_both_streams() -> None:
    assert record(4, (OUT, b"abc"), (ERR, b"def"), (OUT, b"g")) == Transcript("abcd", "abc", "d", truncated=True)


def test_an_empty_chunk_at_the_limit_truncates_nothing() -> None:
    assert not record(1, (OUT, b"a"), (ERR, b"")).truncated


@pytest.mark.parametrize("text", ["é", "€", "😀"])
def test_a_character_split_over_chunks_is_whole(text: str) -> None:
    chunks = [(OUT, bytes([byte])) for byte in text.encode()]
    assert record(99, *chunks).stdout == text


def test_a_character_split_by_the_other_stream_is_whole() -> None:
    euro = "€".encode()
    assert record(99, (OUT, euro[:1]), (ERR, b"!"), (OUT, euro[1:])) == Transcript("!€", "€", "!", truncated=False)


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_a_character_cut_by_the_limit_is_dropped(kept: int) -> None:
    assert record(1 + kept, (OUT, b"a"), (OUT, "😀".encode())) == Transcript("a", "a", "", truncated=True)


def test_a_character_that_ends_at_the_limit_is_kept() -> None:
    assert record(4, (OUT, "😀😀".encode())).stdout == "😀"


def test_invalid_bytes_are_replaced_where_they_are() -> None:
    assert record(99, (OUT, b"a\xffb")).stdout == "a\ufffdb"


def test_an_unfinished_character_at_the_end_is_replaced() -> None:
    assert record(99, (OUT, b"a\xe2\x82")).stdout == "a\ufffd"


def test_what_is_streamed_is_what_is_kept() -> None:
    recorder = Recorder(99)
    chunks = [(OUT, b"a\xe2"), (ERR, b"!"), (OUT, b"\x82\xac\xe2"), (OUT, b"b\xe2")]
    streamed = [(stream, recorder.write(stream, chunk)) for stream, chunk in chunks]
    streamed += recorder.finish()
    assert "".join(text for _, text in streamed) == recorder.transcript().output == "a!€\ufffdb\ufffd"
