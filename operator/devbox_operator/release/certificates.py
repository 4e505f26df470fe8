"""The operator's CA, the gateway's certificate, and the bundle that devboxes trust.

Goes in: what the two Secrets hold now, and the time. Comes out: what they should hold (PEM), the bundle, and how long the CA lives on.
Pure but for the random keys; system.py reads and writes the Secrets.

The CA's certificate is renewed with its key and its name: what was signed under the old certificate is good under the new one and the other
way round, so that processes which read the old bundle at their start go on with it until that certificate's own end.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from devbox_operator.attach.truststore import pem_certificates

CA_DAYS: Final = 3653
RENEW_AFTER: Final = 2 / 3
"""The part of a certificate's life after which the next one is made."""
SKEW: Final = timedelta(hours=1)
"""Clocks of nodes differ; a certificate is valid from a little before it was made."""
_NAME: Final = "devbox-gateway CA of "
_NO_ADDRESS: Final = tuple(x509.IPAddress(ip_network(every)) for every in ("0.0.0.0/0", "::/0"))
"""A kind of name that is not mentioned is not constrained: RFC 5280 4.2.1.10."""
_SERVERS: Final = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


class Pair(NamedTuple):
    """A certificate and its private key, PEM."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Pair(<redacted>)"


def names_of(release_namespace: str, service: str = "gateway") -> tuple[str, ...]:
    """The DNS names of the gateway's certificate; the first is the one that devboxes use."""
    base = f"{service}.{release_namespace}"
    return (f"{base}.svc", f"{base}.svc.cluster.local", base)


def make_ca(release_namespace: str, now: datetime) -> Pair:
    """A CA for ten years that can vouch for the gateway's names and nothing else (name constraints)."""
    key = ec.generate_private_key(ec.SECP256R1())
    return _ca(key, release_namespace, now - SKEW, now + timedelta(days=CA_DAYS))


def renewed_ca(ca: Pair, release_namespace: str, now: datetime) -> Pair:
    """The same CA, for ten years from now on."""
    return _ca(_load(ca)[1], release_namespace, now - SKEW, now + timedelta(days=CA_DAYS))


def narrowed_ca(ca: Pair, release_namespace: str) -> Pair | None:
    """The same CA, as narrow as one that is made today and for as long as before; None if it is, or if it is none that was made here."""
    certificate, key = _load(ca)
    (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME) or (None,)
    if certificate.issuer != certificate.subject or name is None or not str(name.value).startswith(_NAME):
        return None
    made = _ca(key, release_namespace, certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    wanted = {extension.oid: extension.value for extension in x509.load_pem_x509_certificate(made.certificate).extensions}
    return None if {extension.oid: extension.value for extension in certificate.extensions} == wanted else made


def _ca(key: ec.EllipticCurvePrivateKey, release_namespace: str, begin: datetime, end: datetime) -> Pair:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{_NAME}{release_namespace}"[:64])])
    usage = _usage(key_cert_sign=True, crl_sign=True)
    hosts = [x509.DNSName(host) for host in names_of(release_namespace)]
    constraints = x509.NameConstraints(permitted_subtrees=hosts, excluded_subtrees=_NO_ADDRESS)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(constraints, critical=True)
        # E-mail addresses, URIs and names of directories can't be excluded as a whole in a way that all verifiers read alike; what
        # they stand for is no server.
        .add_extension(_SERVERS, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pem(certificate, key)


def make_leaf(ca: Pair, release_namespace: str, days: int, now: datetime) -> Pair:
    """The gateway's certificate, signed by the CA; never longer than the CA lives."""
    issuer, issuer_key = _load(ca)
    key = ec.generate_private_key(ec.SECP256R1())
    hosts = names_of(release_namespace)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(min(now + timedelta(days=days), issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(_SERVERS, critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
        .sign(issuer_key, hashes.SHA256())
    )
    return _pem(certificate, key)


def usable_ca(pair: Pair, now: datetime) -> bool:
    """The CA is readable, its key belongs to it, and it lives on."""
    try:
        certificate, key = _load(pair)
    except ValueError:
        return False
    return certificate.public_key() == key.public_key() and now < certificate.not_valid_after_utc


def lifetime(pair: Pair) -> tuple[datetime, datetime]:
    """When a certificate was made, and its end. Raises ValueError."""
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    return certificate.not_valid_before_utc + SKEW, certificate.not_valid_after_utc


def leaf_due(leaf: Pair, ca: Pair, release_namespace: str, now: datetime) -> datetime:
    """When the next certificate has to be made; `now` if the one there can't be used (other names, another CA, broken)."""
    try:
        certificate, key = _load(leaf)
        issuer, _ = _load(ca)
        certificate.verify_directly_issued_by(issuer)
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # whatever is wrong with it, the answer is a new one
        return now
    hosts = set(alternative.get_values_for_type(x509.DNSName))
    if certificate.public_key() != key.public_key() or hosts != set(names_of(release_namespace)):
        return now
    # (Of the time since it was made: with SKEW in it, one that ends with a CA that is about to end would be due when it is made.)
    made, end = lifetime(leaf)
    return made + (end - made) * RENEW_AFTER


def bundle(public_roots: str, ca: bytes, extra: str) -> str:
    """One PEM file of everything a devbox trusts: the operator's CA first, then the extra ones, then the public roots.

    Only certificates are taken over: comments and what else may stand in a file would cost every pod its size.
    """
    texts: Iterable[str] = (ca.decode(), extra, public_roots)
    seen = dict.fromkeys(block for text in texts for block in pem_certificates(text))
    return "".join(f"{block}\n" for block in seen)


def _pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), private)


def _load(pair: Pair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    key = serialization.load_pem_private_key(pair.key, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an elliptic curve key")
    return certificate, key


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
