"""Why a dial led to no connection: one closed set of names, for callers, logs, metrics and conditions.

Goes in: the error of a dial. Comes out: a `Failed`: its name, the refusal that a caller gets, and words. The words hold no address and no
name, so that whoever may use an API, and no more, may read them; they follow a subject, such as "the API" or "example.com:443". Pure.
"""

import errno
import socket
import ssl
from enum import Enum
from typing import Final, NamedTuple

from devbox_api.judge.refusals import Refusal
from devbox_proxy.upstreams.dial_check import AddressRefused


class DialFailure(Enum):
    """The values are what metrics, logs and conditions show."""

    NAME_NOT_FOUND = "NameNotFound"
    """DNS says that there is no such name, or none with an address."""
    LOOKUP_FAILED = "LookupFailed"
    """DNS gives no answer."""
    ADDRESS_FORBIDDEN = "AddressForbidden"
    """It is, or leads to, an address that may not be dialled (dial_check.py)."""
    CONNECTION_REFUSED = "ConnectionRefused"
    """Nobody listens there."""
    CONNECT_TIMED_OUT = "ConnectTimedOut"
    """Nobody answers there, or there is no route."""
    CERTIFICATE_INVALID = "CertificateInvalid"
    """Its chain, name or date is not good."""
    TLS_FAILED = "TlsFailed"
    """It speaks no TLS, or none that goes together with ours."""
    CONNECTION_LOST = "ConnectionLost"
    """It closed the connection before it could be used."""


class Failed(NamedTuple):
    """One dial's end."""

    why: DialFailure
    refusal: Refusal
    words: str
    """What happened, behind a subject: "… refuses connections on its port"."""


_CERTIFICATES: Final = {
    9: "is not valid yet",
    10: "has ended",
    18: "is self-signed, and spec.tls.caBundle does not hold it",
    19: "comes from an authority that is not trusted; spec.tls.caBundle names one",
    20: "comes from an authority that is not trusted, or lacks one between it and that; spec.tls.caBundle names an authority",
    21: "lacks the ones between it and an authority that is trusted",
    23: "was withdrawn",
    62: "is for another name",
    64: "is for another address",
    66: "has a key that is too weak",
    67: "comes from an authority whose key is too weak",
    68: "is signed with a digest that is too weak",
}
"""By OpenSSL's X509_V_ERR_… (x509_vfy.h), which are numbers that stay."""
_NO_ROUTE: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.ETIMEDOUT})
_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
_LOST: Final = frozenset({errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE})


def failed(error: Exception) -> Failed:
    """What a dial's error means: AddressRefused, or an OSError (those of TLS and of time-outs among them)."""
    if isinstance(error, AddressRefused):
        return Failed(DialFailure.ADDRESS_FORBIDDEN, Refusal.ENDPOINT_REFUSED, error.said)
    if isinstance(error, socket.gaierror):
        return _not_found(error)
    if isinstance(error, ssl.SSLError):
        return _no_tls(error)
    if isinstance(error, TimeoutError):
        return Failed(DialFailure.CONNECT_TIMED_OUT, Refusal.UPSTREAM_CONNECT_TIMEOUT, "took no connection in time")
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ECONNREFUSED:
        return Failed(DialFailure.CONNECTION_REFUSED, Refusal.UPSTREAM_UNREACHABLE, "refuses connections on its port")
    if number in _LOST or isinstance(error, ConnectionError):
        return _lost()
    said = "can't be reached: there is no route to it" if number in _NO_ROUTE else "can't be reached"
    return Failed(DialFailure.CONNECT_TIMED_OUT, Refusal.UPSTREAM_UNREACHABLE, said)


def _not_found(error: socket.gaierror) -> Failed:
    if error.errno in _NO_SUCH_NAME:
        return Failed(DialFailure.NAME_NOT_FOUND, Refusal.UPSTREAM_NAME_UNKNOWN, "has no address in DNS: there is no such name")
    return Failed(DialFailure.LOOKUP_FAILED, Refusal.UPSTREAM_UNREACHABLE, "can't be looked up: DNS gives no answer")


def _no_tls(error: ssl.SSLError) -> Failed:
    if isinstance(error, ssl.SSLCertVerificationError):
        flaw = _CERTIFICATES.get(getattr(error, "verify_code", 0), "can't be verified")
        return Failed(DialFailure.CERTIFICATE_INVALID, Refusal.UPSTREAM_TLS, f"shows a certificate that {flaw}")
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return _lost()
    reason = getattr(error, "reason", None) or ""
    if "ALERT" in reason:
        said = "broke off TLS with an alert"
    elif reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"):
        said = "speaks no TLS on its port"
    else:
        said = "speaks no TLS that goes together with the gateway's"
    return Failed(DialFailure.TLS_FAILED, Refusal.UPSTREAM_TLS, said)


def _lost() -> Failed:
    return Failed(
        DialFailure.CONNECTION_LOST, Refusal.UPSTREAM_UNREACHABLE, "closed the connection before a request could be sent"
    )
