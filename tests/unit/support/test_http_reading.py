"""The strict readers and the fuzzer's oracle: they say no to what two servers could read differently."""

import pytest
from tests.fuzz.grammar import sample
from tests.fuzz.oracle import CREDENTIAL, judge, meant
from tests.support.http_reading import ChunkReader, h11_requests, request_head, response_head, responses
from tests.support.recorder import Recorded

TOKEN = b"gws_eyJh.eyJi.c2ln"
GOOD = b"POST /v1?a=%2F HTTP/1.1\r\nHost: g\r\nX-A: 1\r\nX-Api-Key: " + TOKEN + b"\r\nContent-Length: 3\r\n\r\nabc"
HEAD = (
    b"POST /v1?a=%2F HTTP/1.1\r\nHost: api0.test\r\nX-A: 1\r\nAuthorization: Bearer "
    + CREDENTIAL
    + b"\r\nContent-Length: 3\r\n\r\n"
)


def recorded(head: bytes = HEAD, body: bytes = b"abc", *, complete: bool = True) -> Recorded:
    return Recorded(1, head, request_head(head), bytearray(body), len(body), complete=complete)


@pytest.mark.parametrize(
    "raw",
    [
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\0b\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET /\xc3 x HTTP/1.1\r\n\r\n",
    ],
)
def test_a_head_that_is_not_strict_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="not valid"):
        request_head(raw)


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 1\r\nContent-Length: 1",
        b"Content-Length: +1",
        b"Transfer-Encoding: x",
        b"Transfer-Encoding: chunked\r\nContent-Length: 1",
    ],
)
def test_framing_is_one_plain_statement(lines: bytes) -> None:
    with pytest.raises(ValueError, match="framing"):
        request_head(b"GET / HTTP/1.1\r\n" + lines + b"\r\n\r\n").length()


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_a_chunked_body_is_the_same_however_it_is_cut(size: int) -> None:
    wire = b"3;x=y\r\nabc\r\n" + b"1\r\nd\r\n" * 4 + b"A\r\n0123456789\r\n0\r\nX: 1\r\n\r\nrest"
    reader, rest = ChunkReader(), b""
    for start in range(0, len(wire), size):
        rest += reader.feed(wire[start : start + size]) if not reader.done else wire[start : start + size]
    assert (bytes(reader.body), reader.extensions, reader.trailers, rest) == (b"abcdddd0123456789", 1, [b"X: 1"], b"rest")


@pytest.mark.parametrize("wire", [b"3 \r\nabc\r\n0\r\n\r\n", b"3\nabc\r\n", b"3\r\nabcd\r\n", b"0x3\r\n", b"-1\r\n"])
def test_a_chunked_body_that_is_not_strict_is_refused(wire: bytes) -> None:
    with pytest.raises(ValueError, match="chunk"):
        ChunkReader().feed(wire)


def test_answers_are_told_apart_and_a_cut_one_is_not_whole() -> None:
    wire = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    wire += b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"
    found, _ = responses(wire, [b"HEAD", b"GET"], closed=True)
    assert [(answer.status, answer.complete) for answer in found] == [(100, True), (200, True), (200, False)]
    with pytest.raises(ValueError, match="not valid"):
        response_head(b"HTTP/1.1 200 OK\nX: 1\r\n\r\n")


def test_h11_reads_requests_one_after_the_other() -> None:
    read = h11_requests(GOOD + b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n" + GOOD)
    assert [(request.method, body) for request, body in read] == [(b"POST", b"abc"), (b"CONNECT", b""), (b"POST", b"abc")]


def test_the_oracle_agrees_with_what_is_right() -> None:
    assert judge(GOOD, TOKEN, [recorded()], []) == []
    assert judge(GOOD, TOKEN, [recorded(body=b"ab", complete=False)], []) == []
    assert judge(GOOD, TOKEN, [], []) == []


@pytest.mark.parametrize(
    ("got", "said"),
    [
        (recorded(HEAD.replace(b"POST", b"PUT")), "method"),
        (recorded(HEAD.replace(b"%2F", b"/")), "target"),
        (recorded(HEAD.replace(b"X-A: 1", b"X-A: 2")), "h11 does not read so"),
        (recorded(HEAD.replace(b"X-A: 1\r\n", b"")), "was lost"),
        (recorded(HEAD.replace(b"X-A: 1", b"X-A: " + CREDENTIAL)), "exactly the one credential"),
        (recorded(HEAD.replace(b"X-A: 1", b"X-A: " + TOKEN)), "token is in the head"),
        (recorded(HEAD.replace(b"api0.test", b"evil")), "Host"),
        (recorded(body=b"abX"), "body"),
        (recorded(body=b"X", complete=False), "beginning of the body"),
    ],
)
def test_the_oracle_finds_what_is_wrong(got: Recorded, said: str) -> None:
    assert said in "; ".join(judge(GOOD, TOKEN, [got], []))


def test_the_oracle_finds_a_smuggled_request_and_one_that_ended_too_early() -> None:
    assert "2 requests reached the API where h11 reads 1" in judge(GOOD, TOKEN, [recorded(), recorded()], [])[0]
    assert judge(GOOD[:-1], TOKEN, [recorded()], []) == ["it ended at the API, though not at the client"]
    assert "held no token" in "; ".join(judge(GOOD.replace(TOKEN, b"x"), TOKEN, [recorded()], []))


def test_a_sample_is_the_same_again_and_most_are_read_by_h11() -> None:
    assert sample(7, 3) == sample(7, 3) != sample(7, 4)
    read = sum(bool(meant(sample(1, number).data)[0]) for number in range(200))
    assert 60 < read < 195


@pytest.mark.parametrize("zeros", [0, 1, 2, 7, 30])
def test_zeros_before_a_chunks_size_mean_nothing_however_many(zeros: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    found, stop = meant(head + b"0" * zeros + b"4000000000000010\r\nabc")
    assert stop is None
    assert [one.body for one in found] == [b"abc"]
