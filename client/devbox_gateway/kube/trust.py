"""Whom TLS believes: the roots of a kubeconfig, or the system's."""

import ssl


def client_context(authority: bytes | None) -> ssl.SSLContext:
    """A context that trusts these roots (PEM), or the system's for None; the same on every Python, and no stricter than kubectl.

    Python 3.13 began to refuse authorities that are not written by the letter of RFC 5280 (no key usage, no key identifiers, basic
    constraints that are not critical), as many clusters' are; and to believe an intermediate that is named alone. Raises ssl.SSLError
    and UnicodeDecodeError for what is no PEM.
    """
    context = ssl.create_default_context(cadata=None if authority is None else authority.decode())
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
