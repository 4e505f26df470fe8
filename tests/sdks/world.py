"""A gateway process, the stand-ins for the APIs behind it, and what a devbox has: names, tokens, a CA file, nothing else.

Goes in: the environments of the SDKs. Comes out: a `World`. Works in a namespace only (tests/support/netns.py), where the gateway has its
name and port 443 as in a cluster, and no other name exists.
"""

import contextlib
import secrets
import shutil
import string
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.support.dns_server import DnsServer, dns_server
from tests.support.gateway_process import HOST, Stage, stage
from tests.support.kube_api import Cluster, Devbox
from tests.support.netns import GATEWAY

from devbox_common.redacted import Redacted

from .anthropic_api import Anthropic
from .api import Api, Apis, serving
from .environments import Environments
from .git_api import USERNAME, GitHub, Public
from .google_api import Google
from .openai_api import OpenAI

ADDRESS: Final = "10.203.1.2"
"""Of all the APIs."""
BINDINGS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "ANTHROPIC": ("anthropic", {"type": "Bearer"}),
    "OPENAI": ("openai", {"type": "Bearer"}),
    "GEMINI": ("google", {"type": "Bearer"}),
    "GEMINI_HEADER": ("google", {"type": "Header", "key": "x-goog-api-key"}),
    "GITHUB": ("github", {"type": "Basic", "username": USERNAME}),
}
"""By the name in the devbox: the API, and its GatewayConfig's authMechanism."""
_ALPHABET: Final = string.ascii_letters + string.digits


@dataclass(frozen=True)
class World:
    """What a test has."""

    stage: Stage
    apis: Apis
    dns: DnsServer
    repositories: Path
    """Bare ones, at the stand-in for GitHub."""
    public: Public
    """A host that the devbox reaches by the forward proxy alone."""
    home: Path
    """The clients' folder: their programs, the CA, node_modules."""
    environments: Environments
    tokens: Mapping[str, str] = field(repr=False)
    """gws_ and all, by the name in the devbox."""
    credentials: tuple[Redacted, ...]
    proxy: str = field(repr=False)
    """HTTPS_PROXY, with its token."""

    def environment(self, ca: str) -> dict[str, str]:
        """The whole environment of a client's process. `ca`: of the variables that the operator sets, the one that the client goes by."""
        result = {"PATH": "/usr/bin:/bin", "HOME": str(self.home), ca: str(self.home / "ca.crt")}
        for name, token in self.tokens.items():
            result |= {name: token, f"{name}_URL": f"https://{HOST}"}
        return result


def _credential(prefix: str, length: int) -> Redacted:
    return Redacted(prefix + "".join(secrets.choice(_ALPHABET) for _ in range(length)))


@contextlib.asynccontextmanager
async def world(environments: Environments) -> AsyncIterator[World]:
    """A running one."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sdks-")))
        repositories = folder / "repositories"
        repositories.mkdir()
        apis: dict[str, Api] = {
            "anthropic": Anthropic(_credential("sk-ant-api03-", 95)),
            "openai": OpenAI(_credential("sk-proj-", 124)),
            "google": Google(_credential("AIza", 35)),
            "github": GitHub(_credential("ghp_", 36), repositories),
        }
        public = Public(folder / "public")
        public.root.mkdir()
        hosts = [*(api.host for api in apis.values()), public.host]
        cluster = Cluster()
        devbox = Devbox(cluster, "agent", address=GATEWAY)
        devbox.pod_object()
        tokens = {
            name: devbox.bind(name, f"https://{apis[api].host}", apis[api].credential.reveal(), auth)
            for name, (api, auth) in BINDINGS.items()
        }
        way_out = devbox.bind_egress(cluster.policy(hostnames=[public.host]))
        overrides = {"addressOverrides": dict.fromkeys(hosts, ADDRESS)}
        gateway = await stack.enter_async_context(
            stage(cluster, host=GATEWAY, hosts=hosts, listen={"data": 443}, upstreams=overrides, egress=overrides)
        )
        behind = Apis({name: apis[api] for name, (api, _) in BINDINGS.items()})
        behind.apis[public.host] = public
        await stack.enter_async_context(serving(behind, ADDRESS, gateway.server_tls))
        dns = await stack.enter_async_context(dns_server(lambda name: [GATEWAY] if name == HOST else []))
        home = folder / "home"
        shutil.copytree(Path(__file__).parent / "clients", home, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(gateway.folder / "ca.crt", home)
        (home / "node_modules").symlink_to(environments.node_modules)
        yield World(
            stage=gateway,
            apis=behind,
            dns=dns,
            repositories=repositories,
            public=public,
            home=home,
            environments=environments,
            tokens=tokens,
            credentials=tuple(api.credential for api in apis.values()),
            proxy=f"http://devbox:{way_out}@{HOST}:{gateway.egress}",
        )
