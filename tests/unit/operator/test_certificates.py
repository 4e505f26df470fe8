"""The CA and the gateway's certificate, judged by OpenSSL: real handshakes over a pair of sockets in memory."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from devbox_operator.attach.truststore import pem_certificates
from devbox_operator.release import certificates
from devbox_operator.release.certificates import Pair

RELEASE = "devbox-gateway-system"
HOST = "gateway.devbox-gateway-system.svc"


@pytest.fixture(scope="module")
def moment() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def ca(moment: datetime) -> Pair:
    return certificates.make_ca(RELEASE, moment)


def shake_hands(leaf: Pair, bundle: str, host: str, folder: Path) -> None:
    """A TLS handshake; raises SSLCertVerificationError as a client would."""
    (folder / "tls.crt").write_bytes(leaf.certificate)
    (folder / "tls.key").write_bytes(leaf.key)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    client_context = ssl.create_default_context(cadata=bundle)
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=host)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    pending = [client, server]
    while pending:
        for side in list(pending):
            try:
                side.do_handshake()
                pending.remove(side)
            except ssl.SSLWantReadError:
                continue


@pytest.mark.parametrize("host", [HOST, f"{HOST}.cluster.local", "gateway.devbox-gateway-system"])
def test_a_client_with_the_bundle_trusts_every_name(ca: Pair, moment: datetime, host: str, tmp_path: Path) -> None:
    leaf = certificates.make_leaf(ca, RELEASE, 90, moment)
    shake_hands(leaf, certificates.bundle("", ca.certificate, ""), host, tmp_path)


def test_another_name_is_refused(ca: Pair, moment: datetime, tmp_path: Path) -> None:
    leaf = certificates.make_leaf(ca, RELEASE, 90, moment)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(leaf, ca.certificate.decode(), "api.anthropic.com", tmp_path)


def test_the_ca_can_vouch_for_no_other_host(ca: Pair, moment: datetime, tmp_path: Path) -> None:
    """Whoever steals the CA's key can't pose as the real API towards a devbox."""
    stolen = certificates.make_leaf(ca, "api.anthropic.com", 90, moment)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shake_hands(stolen, ca.certificate.decode(), "gateway.api.anthropic.com.svc", tmp_path)


def test_another_ca_is_not_trusted(ca: Pair, moment: datetime, tmp_path: Path) -> None:
    leaf = certificates.make_leaf(certificates.make_ca(RELEASE, moment), RELEASE, 90, moment)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(leaf, ca.certificate.decode(), HOST, tmp_path)


def test_the_leaf_is_due_at_two_thirds_of_its_life(ca: Pair, moment: datetime) -> None:
    leaf = certificates.make_leaf(ca, RELEASE, 90, moment)
    due = certificates.leaf_due(leaf, ca, RELEASE, moment)
    assert timedelta(days=59) < due - moment < timedelta(days=61)


@pytest.mark.parametrize("left", [timedelta(seconds=90), timedelta(minutes=20), timedelta(hours=2)])
def test_a_leaf_that_ends_with_its_ca_is_not_due_when_it_is_made(ca: Pair, left: timedelta) -> None:
    moment = x509.load_pem_x509_certificate(ca.certificate).not_valid_after_utc - left
    leaf = certificates.make_leaf(ca, RELEASE, 90, moment)
    due = certificates.leaf_due(leaf, ca, RELEASE, moment)
    assert moment + left / 2 < due < moment + left


def test_a_leaf_that_can_not_be_used_is_due_now(ca: Pair, moment: datetime) -> None:
    leaf = certificates.make_leaf(ca, RELEASE, 90, moment)
    other = certificates.make_ca(RELEASE, moment)
    cases = {
        "another CA": (leaf, other, RELEASE),
        "another release": (leaf, ca, "elsewhere"),
        "no certificate": (Pair(b"", leaf.key), ca, RELEASE),
        "another key": (Pair(leaf.certificate, other.key), ca, RELEASE),
    }
    for name, (pair, issuer, release) in cases.items():
        assert certificates.leaf_due(pair, issuer, release, moment) == moment, name


def test_the_ca_lives_ten_years_and_is_usable_until_its_end(ca: Pair, moment: datetime) -> None:
    assert certificates.usable_ca(ca, moment + timedelta(days=3652))
    assert not certificates.usable_ca(ca, moment + timedelta(days=3654))
    assert not certificates.usable_ca(Pair(b"rubbish", b""), moment)
    leaf = certificates.make_leaf(ca, RELEASE, 397, moment + timedelta(days=3600))
    end = x509.load_pem_x509_certificate(ca.certificate).not_valid_after_utc
    assert x509.load_pem_x509_certificate(leaf.certificate).not_valid_after_utc == end


def test_the_bundle_holds_each_certificate_once_and_nothing_else(ca: Pair) -> None:
    own = ca.certificate.decode()
    text = certificates.bundle(f"# a comment\n{own}\nrubbish", ca.certificate, own)
    assert text == own
    assert pem_certificates(text + own) == [own.strip()] * 2


def test_a_pair_never_prints_its_key(ca: Pair) -> None:
    assert "PRIVATE" not in f"{ca}{ca!r}"
