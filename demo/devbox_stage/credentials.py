"""Keys and certificates, made at random for one run.

Goes in: nothing but names. Comes out: API keys in their providers' shapes as `Redacted`, and a CA with one leaf for the
stand-in's hosts as PEM. Nothing is written to disk.
"""

import datetime
import hashlib
import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from devbox_common.redacted import Redacted

SHAPES: Final = {"anthropic": ("sk-ant-api03-", 95), "openai": ("sk-proj-", 124), "google": ("AIza", 35), "internal": ("", 40)}
"""Prefix and number of random characters behind it."""
_ALPHABET: Final = string.ascii_letters + string.digits
_LIFETIME: Final = datetime.timedelta(days=30)


@dataclass(frozen=True)
class Key:
    """One credential and whose it is."""

    api: str
    owner: str
    value: Redacted

    @property
    def digest(self) -> str:
        """Hex SHA-256: what the stand-in is told."""
        return hashlib.sha256(self.value.reveal().encode()).hexdigest()

    @property
    def shown(self) -> str:
        """Enough to tell keys apart by eye, and far too little to use one."""
        value = self.value.reveal()
        return f"{value[: len(SHAPES[self.api][0]) + 3]}…{value[-3:]}"


def make_key(api: str, owner: str) -> Key:
    """A new key in the shape that `api` ("anthropic", "openai", "google", "internal") gives out."""
    prefix, length = SHAPES[api]
    return Key(api, owner, Redacted(prefix + "".join(secrets.choice(_ALPHABET) for _ in range(length))))


def key_document(keys: Sequence[Key]) -> Mapping[str, Mapping[str, str]]:
    """The stand-in's `keys` document: digests and owners, no key."""
    return {api: {key.digest: key.owner for key in keys if key.api == api} for api in SHAPES}


@dataclass(frozen=True)
class Certificates:
    """PEM texts."""

    ca: str
    certificate: str
    key: Redacted

    @classmethod
    def still_good(cls, ca: str, certificate: str, key: str) -> Self | None:
        """Those of an earlier run, unless they end within a day."""
        end = x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc
        if end - datetime.datetime.now(datetime.UTC) < datetime.timedelta(days=1):
            return None
        return cls(ca, certificate, Redacted(key))

    @property
    def hosts(self) -> frozenset[str]:
        """The names that the certificate is good for."""
        parsed = x509.load_pem_x509_certificate(self.certificate.encode())
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return frozenset(names.get_values_for_type(x509.DNSName))


def make_certificates(hosts: Sequence[str]) -> Certificates:
    """A CA of its own and one leaf for `hosts`, good for 30 days."""
    now = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5)
    ca_key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "devbox-gateway demo stand-in CA")])
    ca_identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + _LIFETIME)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_identifier), critical=False)
        )

    ca = (
        builder(ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(ca_identifier, critical=False)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    leaf = (
        builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])]), leaf_key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(leaf_key.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName([_name(host) for host in hosts]), critical=False)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = leaf_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return Certificates(_pem(ca), _pem(leaf), Redacted(pem))


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    # OpenSSL 3 in strict mode (Python 3.13 and newer) refuses a CA without it.
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
