"""What the CA can vouch for, judged by those who will be asked to believe it: OpenSSL, Python's ssl, Node, Go.

The key is taken to be stolen: leaves are signed for whatever a thief would like to be.
"""

import json
import shutil
import socket
import ssl
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from devbox_operator.release import certificates
from devbox_operator.release.certificates import Pair

RELEASE = "devbox-gateway-system"
HOST = "gateway.devbox-gateway-system.svc"
NOW = datetime.now(UTC)
PROGRAM = """package main
import ("crypto/x509"; "encoding/pem"; "fmt"; "os")
func load(path string) *x509.Certificate { text, _ := os.ReadFile(path); block, _ := pem.Decode(text)
 c, err := x509.ParseCertificate(block.Bytes); if err != nil { panic(err) }; return c }
func main() { roots := x509.NewCertPool(); roots.AddCert(load(os.Args[1]))
 _, err := load(os.Args[2]).Verify(x509.VerifyOptions{Roots: roots, DNSName: os.Args[3]})
 if err != nil { fmt.Println(err); os.Exit(1) } }
"""
SCRIPT = """
const [,, file, port, host] = process.argv;
require('tls').connect({port, host: '127.0.0.1', servername: require('net').isIP(host) ? '' : host, ca: require('fs').readFileSync(file),
  checkServerIdentity: (_, cert) => require('tls').checkServerIdentity(host, cert)}, () => process.exit(0))
  .on('error', error => { console.log(String(error)); process.exit(1); });
"""


def stolen(ca: Pair, *names: x509.GeneralName, usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH) -> Pair:
    """A leaf for any names, signed with the CA's key."""
    issuer = x509.load_pem_x509_certificate(ca.certificate)
    issuer_key = serialization.load_pem_private_key(ca.key, password=None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "thief")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(hours=1))
        .not_valid_after(NOW + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), private)


class Case(NamedTuple):
    """A leaf, and the host that is asked for."""

    leaf: Pair
    host: str
    good: bool


@pytest.fixture(scope="module")
def ca() -> Pair:
    return certificates.make_ca(RELEASE, NOW)


@pytest.fixture(scope="module")
def cases(ca: Pair) -> dict[str, Case]:
    addresses = [x509.IPAddress(ip_address(text)) for text in ("127.0.0.1", "::1")]
    own = certificates.make_leaf(ca, RELEASE, 90, NOW)
    both = stolen(ca, x509.DNSName(HOST), addresses[0])
    other = stolen(ca, x509.DNSName("api.anthropic.com"))
    return {
        "the gateway's own": Case(own, HOST, good=True),
        "an IPv4 address": Case(stolen(ca, addresses[0]), "127.0.0.1", good=False),
        "an IPv6 address": Case(stolen(ca, addresses[1]), "::1", good=False),
        "an address beside the gateway's name": Case(both, "127.0.0.1", good=False),
        "another host": Case(other, "api.anthropic.com", good=False),
    }


def files(folder: Path, ca: Pair, leaf: Pair) -> tuple[str, str]:
    (folder / "ca.crt").write_bytes(ca.certificate)
    (folder / "leaf.crt").write_bytes(leaf.certificate)
    (folder / "leaf.key").write_bytes(leaf.key)
    return str(folder / "ca.crt"), str(folder / "leaf.crt")


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> str:
    if not shutil.which("go"):
        pytest.skip("Go is not here")
    folder = tmp_path_factory.mktemp("go")
    (folder / "main.go").write_text(PROGRAM)
    subprocess.run(["go", "build", "-o", "verify", "main.go"], cwd=folder, check=True, timeout=170)
    return str(folder / "verify")


def refusal_of_openssl(ca: str, leaf: str, host: str) -> str:
    kind = "-verify_ip" if ip_literal(host) else "-verify_hostname"
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-no-CApath", "-CAfile", ca, kind, host, leaf]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return done.stderr if done.returncode else ""


def refusal_of_client(folder: Path, ca: str, host: str, command: list[str] | None) -> str:
    """Of a real handshake, by Python or by a program that takes the CA's file, a port and a host."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.crt", folder / "leaf.key")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def serve() -> None:
            plain, _ = listening.accept()
            with plain:
                try:
                    context.wrap_socket(plain, server_side=True).close()
                except OSError:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            if command:
                line = [*command, ca, str(port), host]
                done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
                return done.stdout if done.returncode else ""
            trust = ssl.create_default_context(cafile=ca)
            with socket.create_connection(("127.0.0.1", port)) as plain, trust.wrap_socket(plain, server_hostname=host):
                return ""
        except ssl.SSLCertVerificationError as error:
            return str(error)
        finally:
            thread.join(30)


def ip_literal(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdecimal()


NAMES = ("the gateway's own", "an IPv4 address", "an IPv6 address", "an address beside the gateway's name", "another host")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("verifier", ["openssl", "python", "node", "go"])
def test_the_ca_vouches_for_the_gateways_names_and_nothing_else(
    cases: dict[str, Case], name: str, verifier: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    leaf, host, good = cases[name]
    trusted, shown = files(tmp_path, request.getfixturevalue("ca"), leaf)
    if verifier == "openssl":
        said = refusal_of_openssl(trusted, shown, host)
    elif verifier == "go":
        program = request.getfixturevalue("go")
        done = subprocess.run([program, trusted, shown, host], capture_output=True, text=True, check=False, timeout=60)
        said = done.stdout if done.returncode else ""
    elif verifier == "node":
        if not shutil.which("node"):
            pytest.skip("Node is not here")
        (tmp_path / "client.js").write_text(SCRIPT)
        said = refusal_of_client(tmp_path, trusted, host, ["node", str(tmp_path / "client.js")])
    else:
        said = refusal_of_client(tmp_path, trusted, host, None)
    assert (said == "") is good, json.dumps(said)
    if not good:
        words = ("subtree violation", "not permitted by any constraint", "is excluded by constraint", "SUBTREE_VIOLATION")
        assert any(word in said for word in words), said


def test_nor_for_anything_that_is_no_server(ca: Pair, tmp_path: Path) -> None:
    """A client's certificate: the CA's own usage forbids it, whatever the leaf says of itself."""
    leaf = stolen(ca, x509.DNSName(HOST), usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    trusted, shown = files(tmp_path, ca, leaf)
    command = ["openssl", "verify", "-purpose", "sslclient", "-no-CApath", "-CAfile", trusted, shown]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode
    assert "purpose" in done.stderr
