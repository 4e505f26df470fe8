"""Certificate authorities that RFC 5280 would have otherwise, as clusters and companies have them; and a server with such a certificate.

Goes in: what is odd. Comes out: PEM text.
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST: Final = "localhost"
ODD: Final = ("no key usage", "basic constraints not critical", "no key identifiers")
"""What Python 3.13's own contexts refuse, and kubectl does not."""


class Issued(NamedTuple):
    """PEM of what a client is told to trust, and of the server's chain with its key."""

    trusted: str
    chain: str


def issue(odd: str = "", *, by_intermediate: bool = False, ended: bool = False) -> Issued:
    """A certificate for HOST, of an authority that is odd in this (of ODD), or in nothing; `trusted` is who has signed it. `ended`: its
    time is over."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = _certificate("root", root_key, None, odd, ca=True)
    signer, signer_key = root, root_key
    if by_intermediate:
        signer_key = ec.generate_private_key(ec.SECP256R1())
        signer = _certificate("intermediate", signer_key, (root, root_key), odd, ca=True)
    leaf = _certificate(HOST, key, (signer, signer_key), odd, ca=False, ended=ended)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain = b"".join(part.public_bytes(serialization.Encoding.PEM) for part in (leaf, signer)[: 1 + by_intermediate])
    return Issued(signer.public_bytes(serialization.Encoding.PEM).decode(), (chain + private).decode())


@contextlib.contextmanager
def serving(issued: Issued, folder: Path) -> Iterator[int]:
    """A server on the loopback that shakes one hand, and says `hello`: its port."""
    pair = folder / "pair.pem"
    pair.write_text(issued.chain)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            plain, _ = listener.accept()
            with plain, contextlib.suppress(OSError), tls.wrap_socket(plain, server_side=True) as connection:
                connection.sendall(b"hello")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join(30)


def greeting(context: ssl.SSLContext, port: int) -> bytes:
    """What the server says to a client of this context. Raises ssl.SSLCertVerificationError."""
    with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain, server_hostname=HOST) as connection:
        return connection.recv(100)


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
    odd: str,
    *,
    ca: bool,
    ended: bool = False,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    present = datetime.now(UTC) - timedelta(days=9 if ended else 0)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(present - timedelta(hours=1))
        .not_valid_after(present + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=odd != "basic constraints not critical")
    )
    if not ca:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    elif odd != "no key usage":
        builder = builder.add_extension(_SIGNS, critical=True)
    if odd != "no key identifiers":
        signer = (issuer[1] if issuer else key).public_key()
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256())


_SIGNS: Final = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
