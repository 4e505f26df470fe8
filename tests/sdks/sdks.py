"""The SDKs of the matrix: how each is started, which API it is for, and what it calls things."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .environments import Environments


@dataclass(frozen=True)
class Sdk:
    """One of them."""

    name: str
    title: str
    """In docs/clients.md."""
    api: str
    """The name in the devbox: ANTHROPIC means $ANTHROPIC_URL and $ANTHROPIC."""
    program: str
    """In clients/."""
    exceptions: Mapping[int, str] = field(repr=False)
    """By status."""
    old: bool = False
    """The 1.x release of anthropic."""
    socket: bool = False
    """WebSockets are all that it speaks."""
    retried: tuple[int, ...] = (429, 500)
    """Statuses after which it tries again by itself."""
    compresses: bool = True
    """Its WebSockets ask for permessage-deflate."""
    upload_requests: int = 1
    """How many an upload takes: with two the first asks where the file goes."""

    @property
    def ca(self) -> str:
        """The variable by which it finds the CA."""
        return "NODE_EXTRA_CA_CERTS" if self.program.endswith(".mjs") else "SSL_CERT_FILE"

    def command(self, environments: Environments) -> list[str]:
        """Its command line; it holds nothing of what is secret."""
        if Path(self.program).suffix == ".mjs":
            return [str(environments.node), self.program]
        return [str(environments.anthropic1 if self.old else environments.python), "-B", self.program]


_BOTH: Final = {
    401: "AuthenticationError",
    404: "NotFoundError",
    429: "RateLimitError",
    500: "InternalServerError",
}
_GOOGLE: Final = {401: "ClientError", 404: "ClientError", 429: "ClientError", 500: "ServerError"}
_WEBSOCKETS: Final = dict.fromkeys((401, 404, 429, 500), "InvalidStatus")

SDKS: Final = (
    Sdk("anthropic-python-2", "anthropic (Python)", "ANTHROPIC", "use_anthropic.py", _BOTH),
    Sdk("anthropic-python-1", "anthropic (Python)", "ANTHROPIC", "use_anthropic.py", _BOTH, old=True),
    Sdk("anthropic-typescript", "@anthropic-ai/sdk (TypeScript)", "ANTHROPIC", "use_anthropic.mjs", _BOTH),
    Sdk("openai-python", "openai (Python)", "OPENAI", "use_openai.py", _BOTH, compresses=False),
    Sdk("openai-typescript", "openai (TypeScript)", "OPENAI", "use_openai.mjs", _BOTH),
    Sdk("google-genai-python", "google-genai (Python)", "GEMINI", "use_google.py", _GOOGLE, upload_requests=2),
    Sdk("websockets-python", "websockets (Python)", "OPENAI", "use_websockets.py", _WEBSOCKETS, socket=True, retried=(500,)),
)
BY_NAME: Final = {sdk.name: sdk for sdk in SDKS}
