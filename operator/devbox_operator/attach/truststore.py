"""The CA bundle in the forms of tools that read no PEM file that a variable names: Java, wget, PHP.

Goes in: the bundle, PEM. Comes out: files by their names, for the directory that the bundle is in. Pure, and the same for the same bundle:
other bytes would be written to every namespace at each start of an operator.
"""

import ssl
from collections.abc import Iterator, Mapping
from typing import Final

from devbox_api import names

MOST_BYTES: Final = 900 * 1024
"""Of bundle and truststore together: a ConfigMap takes 1 MiB."""
_SEQUENCE, _SET, _OCTETS, _BMP_STRING, _EXPLICIT = 0x30, 0x31, 0x04, 0x1E, 0xA0
_PKCS7_DATA: Final = bytes.fromhex("06092a864886f70d010701")
_CERT_BAG: Final = bytes.fromhex("060b2a864886f70d010c0a0103")
_X509_CERTIFICATE: Final = bytes.fromhex("060a2a864886f70d01091601")
_FRIENDLY_NAME: Final = bytes.fromhex("06092a864886f70d010914")
_TRUSTED_KEY_USAGE: Final = bytes.fromhex("060c6086480186f966adca7b0101")
"""Java's own, 2.16.840.1.113894.746875.1.1: an entry without it is no anchor of trust."""
_ANY_USAGE: Final = bytes.fromhex("0604551d2500")
_BUNDLE: Final = f"{names.CA_DIRECTORY}/{names.CA_BUNDLE_KEY}"
_JAVA: Final = f"""\
-Djavax.net.ssl.trustStore={names.CA_DIRECTORY}/{names.TRUSTSTORE_KEY}
-Djavax.net.ssl.trustStoreType=PKCS12
-Djavax.net.ssl.trustStorePassword=changeit
"""
"""For `java @FILE`, JDK_JAVA_OPTIONS=@FILE, -XX:VMOptionsFile=FILE. The password is Java's own; nothing is encrypted with it."""
_PHP: Final = f"""\
curl.cainfo={_BUNDLE}
openssl.cafile={_BUNDLE}
"""


def files(bundle: str) -> Mapping[str, bytes]:
    """By name. Where truststore and bundle together are too large for a ConfigMap, there is no truststore, nor what names it."""
    texts = {names.WGET_KEY: f"ca_certificate = {_BUNDLE}\n", names.PHP_KEY: _PHP}
    store = java(bundle)
    fits = store and len(bundle) + len(store) <= MOST_BYTES
    more = {names.TRUSTSTORE_KEY: store, names.JAVA_KEY: _JAVA.encode()} if fits else {}
    return {name: text.encode() for name, text in texts.items()} | more


def java(bundle: str) -> bytes:
    """A PKCS#12 file of the certificates, as Java's trust stores are. It has no MAC, for which one would take random salt and a password;
    any password reads it, and none does. What is no certificate is left out, with which Java would refuse the others. Empty where there is
    none."""
    bags = [_bag(certificate, f"ca-{number}") for number, certificate in enumerate(_certificates(bundle))]
    if not bags:
        return b""
    safe = _data(_der(_SEQUENCE, *bags))
    return _der(_SEQUENCE, b"\x02\x01\x03", _data(_der(_SEQUENCE, safe)))


def pem_certificates(text: str) -> list[str]:
    """The certificates of a PEM file, each from BEGIN to END."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    parts = (part.partition(end) for part in text.split(begin)[1:])
    return [f"{begin}{body}{mark}" for body, mark, _ in parts if mark]


def _certificates(bundle: str) -> Iterator[bytes]:
    """DER, of those that are one whole structure."""
    for block in pem_certificates(bundle):
        try:
            certificate = ssl.PEM_cert_to_DER_cert(block)
        except ValueError:
            continue
        if certificate[:2] == b"\x30\x82" and int.from_bytes(certificate[2:4]) == len(certificate) - 4:
            yield certificate


def _bag(certificate: bytes, alias: str) -> bytes:
    """SafeBag of one certificate (RFC 7292 4.2.3), with its name and what Java takes for a sign that it is trusted."""
    value = _der(_SEQUENCE, _X509_CERTIFICATE, _der(_EXPLICIT, _der(_OCTETS, certificate)))
    name = _der(_SEQUENCE, _FRIENDLY_NAME, _der(_SET, _der(_BMP_STRING, alias.encode("utf-16-be"))))
    trusted = _der(_SEQUENCE, _TRUSTED_KEY_USAGE, _der(_SET, _ANY_USAGE))
    return _der(_SEQUENCE, _CERT_BAG, _der(_EXPLICIT, value), _der(_SET, name, trusted))


def _data(content: bytes) -> bytes:
    """ContentInfo of the type `data` (RFC 2315 7)."""
    return _der(_SEQUENCE, _PKCS7_DATA, _der(_EXPLICIT, _der(_OCTETS, content)))


def _der(tag: int, *parts: bytes) -> bytes:
    """One element (X.690 8.1)."""
    content = b"".join(parts)
    size = len(content)
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, size] if size < 128 else [tag, 128 | len(length), *length]) + content
