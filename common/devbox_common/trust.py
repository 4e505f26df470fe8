"""Whom TLS believes: contexts for private authorities, and CA bundles that users write.

Pure but for the file that is named. The operator says in a condition that a bundle can't be read, and the gateway does not serve it.
"""

import ssl
from pathlib import Path


def client_context(*, cafile: Path | None = None, cadata: str | None = None) -> ssl.SSLContext:
    """A client's context that trusts these roots, or the system's; the same on every Python, and no stricter than kubectl and Go.

    Python 3.13 began to refuse authorities that are not written by the letter of RFC 5280 (no key usage, no key identifiers, basic
    constraints that are not critical). Many clusters' and companies' own are not, and all else in a cluster believes them. Signatures,
    names, dates, key sizes and what an authority may sign for are looked at as ever. Raises OSError (ssl.SSLError is one).
    """
    context = ssl.create_default_context(cafile=cafile, cadata=cadata)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= (
        ssl.VERIFY_X509_PARTIAL_CHAIN
    )  # an intermediate that is named alone is believed, as by Python 3.13 and Go
    # Nor does Go's: a server could ask for handshake after handshake, on a connection at rest, too, and each is our work.
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def check_ca_bundle(pem: str) -> None:
    """Raises ValueError, whose text says what to do and nothing of the bundle, unless it is PEM that OpenSSL takes."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError, TypeError):
        raise ValueError(
            "the CA bundle holds a certificate that can't be read; write whole certificates as PEM text, from "
            "-----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----, and nothing else"
        ) from None
