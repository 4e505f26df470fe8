"""APIs whose authority is not written by the letter of RFC 5280, as companies' own are not: believed on every Python."""

from pathlib import Path

import pytest
from tests.support.authorities import ODD, greeting, issue, serving

from devbox_proxy.upstreams.pool import tls_context


@pytest.mark.parametrize("odd", ["", *ODD])
def test_of_the_settings(odd: str, tmp_path: Path) -> None:
    issued = issue(odd)
    bundle = tmp_path / "roots.pem"
    bundle.write_text(issued.trusted)
    with serving(issued, tmp_path) as port:
        assert greeting(tls_context(str(bundle)), port) == b"hello"
