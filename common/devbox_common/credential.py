"""What may be a credential: the one judgement, for the operator, which says so in a condition, and the gateway, which sends it.

Goes in: a Secret's value, as bytes. Comes out: the credential, or a `Flaw` (devbox_api.judge.keys) whose text says what to do and nothing
of the value. Pure.

It is the same for a header, for Basic and for a query: what is refused here is no key that anybody was given, but a mistake of a copy,
and in a header it would end it, change it on its way (RFC 9110 5.5: blanks around a value are not part of it) or be searched for in vain
where an API shows it again. Letters beyond ASCII pass, as UTF-8: passwords have them.
"""

from devbox_api.judge.keys import Flaw, flaw

from .redacted import Redacted


def judge(raw: bytes) -> Redacted | Flaw:
    """The credential without newlines at its end; or what is wrong with it."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return Flaw.NOT_TEXT
    text = text.rstrip("\r\n")
    return flaw(text) or Redacted(text)


def pair(credential: Redacted) -> tuple[Redacted, Redacted] | None:
    """User and password of `user:password`; None where it is none. (One of the two may be empty: some APIs take their key as a user.)"""
    user, colon, password = credential.reveal().partition(":")
    return (Redacted(user), Redacted(password)) if colon and (user or password) else None
