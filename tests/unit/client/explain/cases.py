"""Requests that explain and the gateway are both asked about: written by hand, and every combination of parts that matter."""

import itertools
from typing import Final, NamedTuple
from urllib.parse import quote

_PRINTABLE: Final = "".join(map(chr, range(0x21, 0x7F)))


class Case(NamedTuple):
    """One request. `authority`: of the URL; `gateway`: whose `$NAME_URL` it is, in place of one."""

    method: str
    authority: str
    target: str
    gateway: str = ""
    scheme: str = "https"

    @property
    def sent(self) -> bytes:
        """The target as clients send it (RFC 3986 2.1)."""
        return quote(self.target, safe=_PRINTABLE).encode()

    @property
    def url(self) -> str:
        """As a person types it."""
        return f"${self.gateway}_URL{self.target}" if self.gateway else f"{self.scheme}://{self.authority}{self.target}"


PATHS: Final = (
    *("/", "/v1/messages", "/v1/messages?beta=true&key=sk-not-shown", "/v1/../admin", "/v1/./x", "/v1/%2e%2e/x", "/v1/..;/x"),
    *(
        "/a%2Fb",
        "/a%5c..%5cb",
        "/a%zz",
        "/a%0ab",
        "//evil.example/x",
        "/a//b",
        "/messages",
        "///v1//x",
        "//../x",
        "//",
        "/a b",
        "/a\\b",
        "/caf\u00e9",
        "/caf%C3%A9",
    ),
    *("/%c0%ae%c0%ae/x", "/.../x", "/..a", "/x/gws_eyJhbGciOi", "/x/gws%5FeyJhbGciOi", "/x/gws_notes", "/?_method=DELETE"),
)
ALLOW_LISTED: Final = (
    *("/repos", "/repos/", "/repos/a/b", "/repos/a/b/issues", "/repos/a%2Fb/x1y", "/repos/a/b/x1y", "/user", "/users", "/USER"),
    *("/user?_method=DELETE", "/user?%5Fmethod=DELETE", "/user?x=1;_method=PUT", "/user?method=PUT", "/graphql", "/graphql/"),
    *("/%75ser", "/us%65r?x-http-method-override=DELETE", "/repos/%252e%252e/x", "/repos/a%252Fb", "/repos/a/b?q=%2e%2e"),
)
OPENAI: Final = (
    "/v1/models",
    "/v1/models/x",
    "/models",
    "/chat/completions",
    "/v1/chat/completions",
    "/v1",
    "/v1x/models",
    "/",
)
INTERNAL: Final = ("/base/v2/x", "/x", "/base/v2", "/base/v22/x", "/base", "/")
COMPANY: Final = (
    *("/", "/v1", "/v1/", "/v1/chat/completions", "//v1/chat/completions", "/api/v1/chat/completions", "/chat/completions"),
    *(
        "/v1/v1/chat/completions",
        "/api/v1/v1/chat/completions",
        "/api/chat/completions",
        "/%761/chat/completions",
        "/v1//chat/x",
    ),
    *("/v1x/chat/completions", "/v1/chat/x?_method=DELETE", "/V1/chat/completions", "//api/v1/chat/x", "/v1/../chat/x"),
)
GEMINI: Final = (
    *(
        "/models",
        "//models/m:generateContent",
        "/v1beta/models/m",
        "/v1/models",
        "/v1/models/m",
        "/files/f",
        "/openai/chat/completions",
    ),
    *("/models?_method=DELETE", "/models/../files", "/upload/v1beta/files", "/modelsx", "/%6dodels", "/"),
)
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
HOSTS: Final = (
    *(
        "github.com",
        "GitHub.com",
        "github.com.",
        "www.github.com",
        "packages.example",
        "a.packages.example",
        "a.b.packages.example",
    ),
    *("evilpackages.example", "api.github.com", "api.anthropic.com", "unknown.example", "localhost", "10.1.2.3", "10.2.0.1"),
    *("203.0.113.7", "203.0.113.8", "[2001:db8::1]", "[2001:DB8:0::1]", "[2001:db9::1]", "[::ffff:a01:203]", "127.1", "0x7f.1"),
    *(
        "2130706433",
        "a_b.packages.example",
        "-x.packages.example",
        "b\u00fccher.example",
        "gateway.system.svc",
        "[fe80::1%25eth0]",
    ),
)
PORTS: Final = ("", ":443", ":8443", ":80", ":22")


_COMPANY: Final = (("", "COMPANY"), ("company.example", ""))


def by_hand() -> list[Case]:
    """For each gateway what is particular to it."""
    cases = [Case("GET", "", path, name) for name in ("ANTHROPIC", "PLAIN") for path in PATHS]
    cases += [Case("GET", "api.anthropic.com", path) for path in PATHS]
    cases += [Case(method, "", path, "GITHUB") for method in ("GET", "POST", "DELETE") for path in ALLOW_LISTED]
    cases += [Case("POST", "", path, "OPENAI") for path in OPENAI] + [Case("PUT", "", path, "INTERNAL") for path in INTERNAL]
    cases += [Case("POST", "api.openai.com", path) for path in OPENAI]
    cases += [Case("POST", authority, path, name) for authority, name in _COMPANY for path in COMPANY]
    cases += [Case("POST", "", path, "GEMINI") for path in GEMINI]
    cases += [Case("POST", "generativelanguage.googleapis.com", path) for path in GEMINI]
    cases += [Case("PUT", "internal.example:8443", path) for path in INTERNAL]
    cases += [Case(method, "", "/user", name) for method in METHODS for name in ("GITHUB", "ANTHROPIC")]
    for name in ("UNGRANTED", "NOBODYS", "LOST", "GONE", "DENIED", "ADDRESS", "CLOSED", "SELECTED", "OTHERS"):
        cases += [Case("GET", "", "/v1", name), Case("GET", f"{name.lower()}.example", "/v1"), Case("TRACE", "", "/../x", name)]
    cases += [
        Case("GET", "[2001:db8::7]", "/"),
        Case("GET", "[2001:DB8:0::7]:443", "/"),
        Case("GET", "API.Anthropic.COM.", "/"),
    ]
    cases += [Case("GET", "plain.example", "/x", scheme="http"), Case("GET", "github.com", "/x", scheme="http")]
    return cases


def by_parts() -> list[Case]:
    """Hosts and ports, as the forward proxy sees them."""
    return [Case("GET", f"{host}{port}", "/x") for host, port in itertools.product(HOSTS, PORTS)]


def every() -> list[Case]:
    """Each once."""
    return list(dict.fromkeys((*by_hand(), *by_parts())))
