"""API servers whose authority is not written by the letter of RFC 5280, as many clusters' are not: believed as kubectl believes them.

Before Python 3.13 the odd ones pass in any case; from 3.13 on Python's own contexts refuse them. An intermediate alone is the other way
round.
"""

import ssl
import sys
from pathlib import Path

import pytest
from tests.support.authorities import ODD, greeting, issue, serving

from devbox_gateway.kube.trust import client_context


@pytest.mark.parametrize("odd", ["", *ODD])
def test_an_odd_authority_is_believed(odd: str, tmp_path: Path) -> None:
    issued = issue(odd)
    with serving(issued, tmp_path) as port:
        assert greeting(client_context(issued.trusted.encode()), port) == b"hello"


def test_an_intermediate_that_is_named_alone_is_believed(tmp_path: Path) -> None:
    issued = issue(by_intermediate=True)
    with serving(issued, tmp_path) as port:
        assert greeting(client_context(issued.trusted.encode()), port) == b"hello"


@pytest.mark.parametrize("odd", ODD)
def test_the_odd_ones_are_what_python_has_refused_since_3_13(odd: str, tmp_path: Path) -> None:
    issued = issue(odd)
    with serving(issued, tmp_path) as port:
        context = ssl.create_default_context(cadata=issued.trusted)
        if sys.version_info < (3, 13):
            assert greeting(context, port) == b"hello"
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                greeting(context, port)


def test_another_authority_of_the_same_name_is_not_believed(tmp_path: Path) -> None:
    with serving(issue("no key identifiers"), tmp_path) as port, pytest.raises(ssl.SSLCertVerificationError):
        greeting(client_context(issue("no key identifiers").trusted.encode()), port)
