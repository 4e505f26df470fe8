"""CA bundles that users write: can they be read?

Pure. The operator says so in a condition, and the gateway does not serve what it can't read.
"""

import ssl


def check_ca_bundle(pem: str) -> None:
    """Raises ValueError, whose text says what to do and nothing of the bundle, unless it is PEM that OpenSSL takes."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError, TypeError):
        raise ValueError(
            "the CA bundle holds a certificate that can't be read; write whole certificates as PEM text, from "
            "-----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----, and nothing else"
        ) from None
