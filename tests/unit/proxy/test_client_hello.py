"""The server's name in a ClientHello: what OpenSSL would see there is what is read here, or nothing is."""

import contextlib
import ssl
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.gateway_process import write_files

from devbox_proxy.wire.client_hello import ANSWER_BYTES, MAX_HELLO, Hello, NotHello, asks_again, read
from devbox_stage.credentials import make_certificates

from .hellos import Server, client_hello, records, retry, server_hello, server_name, with_extensions

HELLO = client_hello()
OLD = client_hello(most=ssl.TLSVersion.TLSv1_2)


@pytest.mark.parametrize("hello", [HELLO, OLD])
def test_the_name_is_read(hello: bytes) -> None:
    assert read(hello) == Hello("api.github.com", encrypted=False, length=len(hello))
    assert read(hello + b"\x17\x03\x03\x00\x01x") == Hello("api.github.com", encrypted=False, length=len(hello))
    assert read(client_hello(None)) == Hello(None, encrypted=False, length=len(client_hello(None)))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 100, 512])
def test_a_message_may_be_cut_into_records_and_segments(size: int) -> None:
    cut = records(HELLO, max(size, len(HELLO) // 60))
    found = read(cut)
    assert found is not None
    assert (found.server_name, found.length) == ("api.github.com", len(cut))
    for end in range(len(cut)):
        assert read(cut[:end]) is None


def test_a_message_in_too_many_records_is_refused() -> None:
    with pytest.raises(NotHello):
        read(records(HELLO, 1))


def test_an_encrypted_name_is_seen() -> None:
    for kind in (0xFE0D, 0xFFCE):
        found = read(with_extensions(HELLO, (kind, b"\0\1\2\3")))
        assert found is not None
        assert found.encrypted


def _changed(position: int, value: bytes) -> bytes:
    return HELLO[:position] + value + HELLO[position + len(value) :]


NAME = HELLO.index(b"api.github.com")


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"\x80\x2e\x01\x03\x01",  # SSL 2
        b"\x16\x02",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"\x14\x03\x03\x00\x01\x01" + HELLO,
        b"\x16\x03\x01\x00\x00" + HELLO,
        b"\x16\x03\x01\x40\x01",
        b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",
        b"\x16\x03\x01\x40\x00\x01\x00\xff\xff",
        _changed(9, b"\x02"),  # the version
        HELLO[:3] + (len(HELLO) - 4).to_bytes(2, "big") + HELLO[5:] + b"\0",  # more in the record
        with_extensions(HELLO, (0, server_name(b"b.example"))),
        with_extensions(HELLO, (0xFE0D, b""), (0xFE0D, b"")),
        with_extensions(HELLO, (0, server_name(b"a.example", b"b.example")), without=0),
        with_extensions(HELLO, (0, server_name(b"a.example", kind=1)), without=0),
        with_extensions(HELLO, (0, server_name(b"")), without=0),
        with_extensions(HELLO, (0, server_name(b"a.example") + b"\0"), without=0),
        with_extensions(HELLO, (0, b""), without=0),
        with_extensions(HELLO, (0, b"\0\0"), without=0),
        with_extensions(HELLO, (0, server_name(b"api.github.com\0.evil.example")), without=0),
        with_extensions(HELLO, (0, server_name(b"g\xd1\x96thub.com")), without=0),
        with_extensions(HELLO, (0, server_name(b"a" * 256)), without=0),
    ],
)
def test_what_is_no_plain_hello_is_refused(data: bytes) -> None:
    with pytest.raises(NotHello):
        read(data)


def test_a_message_that_is_too_long_is_refused_before_it_is_whole() -> None:
    with pytest.raises(NotHello):
        read(b"\x16\x03\x01\x00\x04\x01" + (MAX_HELLO + 1).to_bytes(3, "big"))


def test_a_second_hello_is_found_behind_what_may_stand_before_it() -> None:
    before = b"\x14\x03\x03\x00\x01\x01" + b"\x17\x03\x03\x00\x05early"
    found = read(before + HELLO, again=True)
    assert found is not None
    assert (found.server_name, found.length) == ("api.github.com", len(before + HELLO))
    assert read(before, again=True) is None
    with pytest.raises(NotHello):
        read(b"\x17\x03\x03\x40\x00" + bytes(1 << 14) + (b"\x17\x03\x03\x40\x00" + bytes(1 << 14)) * 4, again=True)


def test_a_request_for_a_second_hello_is_known() -> None:
    assert asks_again(retry()[:ANSWER_BYTES])
    assert not asks_again(server_hello())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    folder: Path = tmp_path_factory.mktemp("tls")
    write_files(folder, make_certificates(("api.github.com",)), "http://127.0.0.1:1")
    return Server(str(folder))


def test_openssl_reads_the_same_in_what_clients_send(server: Server) -> None:
    for hello in (HELLO, OLD, records(HELLO, 100)):
        assert server.name_in(hello) == (True, "api.github.com")


mutation = st.one_of(
    st.tuples(st.just("set"), st.integers(0, 600), st.binary(min_size=1, max_size=4)),
    st.tuples(st.just("insert"), st.integers(0, 600), st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("delete"), st.integers(0, 600), st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("name"), st.just(0), st.binary(max_size=20)),
    st.tuples(st.just("second"), st.just(0), st.binary(max_size=20)),
    st.tuples(st.just("length"), st.integers(0, 600), st.binary(min_size=2, max_size=2)),
    st.tuples(st.just("records"), st.integers(1, 300), st.just(b"")),
)


def mutated(hello: bytes, kind: str, at: int, value: bytes) -> bytes:
    at = at % len(hello)
    if kind == "set":
        return hello[:at] + value + hello[at + len(value) :]
    if kind == "insert":
        return hello[:at] + value + hello[at:]
    if kind == "delete":
        return hello[:at] + hello[at + len(value) :]
    if kind == "length":  # around the name, where lengths stand
        at = NAME - 9 + at % 9
        return hello[:at] + value + hello[at + 2 :]
    with contextlib.suppress(IndexError, OverflowError):  # what was changed before may have no extensions any more
        if kind == "name":
            return with_extensions(hello, (0, server_name(value)), without=0)
        if kind == "second":
            return with_extensions(hello, (0, server_name(value)))
    return records(hello, at or 1)


@settings(max_examples=600)
@given(base=st.sampled_from([HELLO, OLD]), changes=st.lists(mutation, min_size=1, max_size=3))
def test_no_other_name_than_openssl_sees_is_ever_read(
    server: Server, base: bytes, changes: list[tuple[str, int, bytes]]
) -> None:
    data = base
    for kind, at, value in changes:
        data = mutated(data, kind, at, value)
    try:
        found = read(data)
    except NotHello:
        return
    if found is None:
        return
    reached, name = server.name_in(data)
    if reached:
        # OpenSSL takes the padding of a host name away at a NUL, which is never read here.
        assert (name or "").lower() == (found.server_name or "").lower()


@settings(max_examples=300)
@given(data=st.binary(max_size=200), again=st.booleans())
def test_noise_is_refused_and_nothing_else_happens(data: bytes, again: bool) -> None:
    for prefix in (b"", b"\x16\x03\x01", HELLO[:60]):
        with contextlib.suppress(NotHello):
            read(prefix + data, again=again)
