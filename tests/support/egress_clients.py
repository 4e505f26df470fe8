"""The clients that agents install and fetch things with: what each runs, what it needs, and what it says when it is refused.

Goes in: nothing. Comes out: `CLIENTS`, and docs/egress-clients.md's table by `table`.
"""

from dataclasses import dataclass
from typing import Final

from tests.support.standins.hosts import CRATES, GIT, GO, MODULE, NPM, PACKAGE, PAGE, PYTHON, VERSION

_MODULE_NAME: Final = PACKAGE.replace("-", "_")


@dataclass(frozen=True)
class Client:
    """One of them."""

    name: str
    host: str
    """That it goes to."""
    script: str
    """Of a shell, in an empty folder; it prints the package's greeting."""
    refused: str
    """A regular expression: in what it prints when the hostname is not allowed; with the code where it shows the status line."""
    needs: str = "nothing"
    """In the table, beside the variables that a devbox has."""
    says: str = ""
    """In the table, where a regular expression reads badly."""


def _python(code: str) -> str:
    """A program in one line; in the table it is what it needs."""
    return f"python3 -c '{code}'"


_IMPORT: Final = f"PYTHONPATH=there python3 -c 'import {_MODULE_NAME}; print({_MODULE_NAME}.GREETING)'"
_CARGO: Final = f"""
mkdir -p src .cargo; : > src/lib.rs; export CARGO_HOME=$PWD/home
cat > Cargo.toml <<'end'
[package]
name = "x"
version = "0.1.0"
edition = "2021"
[dependencies]
{PACKAGE} = {{ version = "{VERSION}", registry = "here" }}
end
cat > .cargo/config.toml <<'end'
[registries.here]
index = "sparse+https://{CRATES}/"
[net]
retry = 0
end
cargo fetch --quiet
cat home/registry/src/*/{PACKAGE}-{VERSION}/src/lib.rs
"""
_GO: Final = f"""
printf 'module x\\n\\ngo 1.19\\n\\nrequire {MODULE} v{VERSION}\\n' > go.mod
export GOMODCACHE=$PWD/modules GOFLAGS=-modcacherw GOPROXY=https://{GO} GONOSUMDB={MODULE}
go mod download
cat modules/{MODULE}@v{VERSION}/greeting.go
"""
_AIOHTTP: Final = f"""
python3 -c '
import asyncio, aiohttp
async def main():
    async with aiohttp.ClientSession(trust_env=True) as session, session.get("https://{PAGE}/") as answer:
        print(await answer.text())
asyncio.run(main())'
"""
_PIP: Final = f"--target there --index-url https://{PYTHON}/simple/ {PACKAGE}"

CLIENTS: Final = (
    Client(
        "git clone",
        GIT,
        f"git clone -q https://{GIT}/{PACKAGE}.git; cat {PACKAGE}/README",
        "CONNECT tunnel failed, response 403",
    ),
    Client(
        "pip install",
        PYTHON,
        f"python3 -m pip install --no-cache-dir --disable-pip-version-check --retries 1 {_PIP}; {_IMPORT}",
        "Tunnel connection failed: 403 host_not_allowed",
    ),
    Client("uv pip install", PYTHON, f"uv pip install --no-cache {_PIP}; {_IMPORT}", "tunnel error: unsuccessful"),
    Client(
        "npm install",
        NPM,
        f"npm install --no-update-notifier --fetch-retries=0 --cache=$PWD/cache --registry=https://{NPM}/ {PACKAGE}; "
        f"""node -p 'require("{PACKAGE}")'""",
        "npm error 403|Proxy response \\(403\\)",
        says="npm error 403",
    ),
    Client(
        "cargo fetch",
        CRATES,
        _CARGO,
        "CONNECT tunnel failed, response 403",
    ),
    Client(
        "go mod download", GO, _GO, "host_not_allowed", needs="`GOPROXY` (and `GONOSUMDB` for private modules), as everywhere"
    ),
    Client("curl", PAGE, f"curl -sS https://{PAGE}/", "CONNECT tunnel failed, response 403"),
    Client(
        "wget",
        PAGE,
        f"wget -nv --tries=1 -O- https://{PAGE}/",
        "Proxy tunneling failed: host_not_allowed",
    ),
    Client(
        "requests (Python)",
        PAGE,
        _python(f'import requests; print(requests.get("https://{PAGE}/").text)'),
        "ProxyError.*Tunnel connection failed: 403 host_not_allowed",
        says="ProxyError … Tunnel connection failed: 403 host_not_allowed",
    ),
    Client(
        "httpx (Python)",
        PAGE,
        _python(f'import httpx; print(httpx.get("https://{PAGE}/").text)'),
        "httpx.ProxyError: 403 host_not_allowed",
    ),
    Client(
        "aiohttp (Python)",
        PAGE,
        _AIOHTTP,
        "ClientHttpProxyError: 403, message=.host_not_allowed",
        says="ClientHttpProxyError: 403, message='host_not_allowed",
        needs="`ClientSession(trust_env=True)`: without it, it goes past every proxy and finds no name",
    ),
    Client(
        "fetch (Node)",
        PAGE,
        f"""node -e 'fetch("https://{PAGE}/").then(answer => answer.text()).then(console.log)'""",
        "Proxy response \\(403\\) !== 200 when HTTP Tunneling",
        needs="`NODE_USE_ENV_PROXY=1`, which a devbox has; Node 24 or newer",
        says="TypeError: fetch failed; cause: Proxy response (403) !== 200 when HTTP Tunneling",
    ),
)
"""Every one takes the proxy from HTTPS_PROXY, and the CA from the variables that a devbox has, unless `needs` says otherwise."""


def table() -> str:
    """In Markdown."""
    rows = [f"| {client.name} | {client.needs} | `{client.says or client.refused}` |" for client in CLIENTS]
    return "\n".join(["| client | what it needs | how it fails when refused |", "|---|---|---|", *rows])
