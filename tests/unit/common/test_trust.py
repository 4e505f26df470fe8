"""A CA bundle is read as the gateway's TLS reads it, and private authorities are believed as Go believes them."""

import contextlib
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from tests.support.authorities import ODD, greeting, issue, serving

from devbox_common.trust import check_ca_bundle, client_context
from devbox_stage.credentials import make_certificates


def pem() -> str:
    return make_certificates(["api.example"]).ca


def test_one_certificate_or_more_is_a_bundle() -> None:
    check_ca_bundle(pem())
    check_ca_bundle("the company's\n" + pem() + "\n" + pem())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: "MIIB",
        lambda text: "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        lambda text: text[: len(text) // 2],
        lambda text: text + text[: len(text) // 2],
        lambda text: text.replace("-----BEGIN CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\né"),
    ],
)
def test_anything_else_is_refused_with_what_to_do(spoil) -> None:  # type: ignore[no-untyped-def]
    broken = spoil(pem())
    with pytest.raises(ValueError, match="write whole certificates as PEM text") as refused:
        check_ca_bundle(broken)
    assert refused.value.__context__ is None or refused.value.__suppress_context__


@pytest.mark.parametrize("odd", ["", *ODD])
def test_an_authority_that_is_not_written_by_the_letter_is_believed(odd: str, tmp_path: Path) -> None:
    """(Python's own contexts refuse these from 3.13 on: tests/unit/client/test_authorities.py.)"""
    issued = issue(odd)
    file = tmp_path / "ca.crt"
    file.write_text(issued.trusted)
    for context in (client_context(cadata=issued.trusted), client_context(cafile=file)):
        with serving(issued, tmp_path) as port:
            assert greeting(context, port) == b"hello"


def test_an_intermediate_alone_is_believed_and_another_of_its_name_is_not(tmp_path: Path) -> None:
    issued = issue(by_intermediate=True)
    with serving(issued, tmp_path) as port:
        assert greeting(client_context(cadata=issued.trusted), port) == b"hello"
    with serving(issued, tmp_path) as port, pytest.raises(ssl.SSLCertVerificationError):
        greeting(client_context(cadata=issue(by_intermediate=True).trusted), port)


def test_no_server_has_a_second_handshake_on_a_connection(tmp_path: Path) -> None:
    """(A command of s_server's that is one letter is about the connection; all else is sent.)"""
    pair = make_certificates(["api.example"])
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    certificate.write_text(pair.certificate)
    key.write_text(pair.key.reveal())
    command = ("openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", certificate, "-key", key, "-tls1_2")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            port = next(int(line.rpartition(b":")[2]) for line in server.stdout if line.startswith(b"ACCEPT"))
            plain = socket.create_connection(("127.0.0.1", port), timeout=10)
            with plain, client_context(cadata=pair.ca).wrap_socket(plain, server_hostname="api.example") as secure:
                server.stdin.write(b"hello\n")
                assert secure.recv(64) == b"hello\n"
                server.stdin.write(b"r\n")
                with contextlib.suppress(ssl.SSLError, ConnectionError):  # so it may end, too
                    assert secure.recv(64) == b""
        finally:
            server.kill()
