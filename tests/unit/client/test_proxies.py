"""Proxies, by Go's rules."""

import pytest

from devbox_gateway.errors import InvalidError
from devbox_gateway.kube.proxies import proxy_for

P = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("url", "configured", "environ", "expected"),
    [
        ("https://api.example:6443", "", {}, None),
        ("https://api.example:6443", P, {}, P),
        ("https://api.example:6443", "", {"HTTPS_PROXY": P}, P),
        ("https://api.example:6443", "", {"https_proxy": P}, P),
        ("https://api.example:6443", "", {"HTTP_PROXY": P}, None),
        ("http://api.example:8001", "", {"HTTP_PROXY": P}, P),
        ("https://api.example:6443", "", {"HTTPS_PROXY": "proxy.example:3128"}, P),
        ("https://api.example:6443", "", {"HTTPS_PROXY": P, "NO_PROXY": "api.example"}, None),
        ("https://api.example:6443", "", {"HTTPS_PROXY": P, "NO_PROXY": ".example"}, None),
        ("https://api.example:6443", "", {"HTTPS_PROXY": P, "NO_PROXY": "example"}, None),
        ("https://api.example:6443", "", {"HTTPS_PROXY": P, "NO_PROXY": "ample"}, P),
        ("https://api.example:6443", "", {"HTTPS_PROXY": P, "NO_PROXY": "other, *"}, None),
        ("https://api.example:6443", "", {"HTTPS_PROXY": P, "NO_PROXY": "api.example:443"}, P),
        ("https://api.example:6443", "", {"HTTPS_PROXY": P, "NO_PROXY": "api.example:6443"}, None),
        ("https://10.1.2.3:6443", "", {"HTTPS_PROXY": P, "NO_PROXY": "10.0.0.0/8"}, None),
        ("https://10.1.2.3:6443", "", {"HTTPS_PROXY": P, "NO_PROXY": "192.168.0.0/16"}, P),
        ("https://[fd00::1]:6443", "", {"HTTPS_PROXY": P, "NO_PROXY": "fd00::1"}, None),
        ("https://[fd00::1]:6443", "", {"HTTPS_PROXY": P, "NO_PROXY": "fd00::/8"}, None),
        ("https://127.0.0.1:6443", "", {"HTTPS_PROXY": P}, None),
        ("https://localhost:6443", "", {"HTTPS_PROXY": P}, None),
        ("https://127.0.0.1:6443", P, {}, P),
        ("https://api.example:6443", P, {"NO_PROXY": "*"}, P),
    ],
)
def test_which_proxy(url: str, configured: str, environ: dict[str, str], expected: str | None) -> None:
    assert proxy_for(url, configured, environ) == expected


def test_a_proxy_of_another_kind() -> None:
    with pytest.raises(InvalidError, match="socks5"):
        proxy_for("https://api.example", "socks5://proxy.example:1080", {})
