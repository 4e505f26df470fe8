"""github.com, as far as git and git-lfs see it: `git http-backend` over bare repositories, behind Basic authentication; and another host,
which asks for nothing: it has repositories, too, and GitHub's large files.

What the backend prints goes to the client as it is printed, so that a hook's words arrive while the hook is at work.
"""

import base64
import json
from pathlib import Path
from typing import Any, ClassVar, Final

from aiohttp import web
from tests.support.standins.git_host import backend

from devbox_common.redacted import Redacted

from .api import CREDENTIAL_HEADERS, Api, Call

USERNAME: Final = "x-access-token"
MESSAGES: Final = {
    301: "Moved",
    401: "Authentication required",
    404: "Repository not found.",
    429: "Too many requests",
    500: "Internal error",
}


class GitHub(Api):
    """Repositories under `root`, as /<name>.git."""

    host = "github.com"
    header: ClassVar = "authorization"

    def __init__(self, credential: Redacted, root: Path) -> None:
        super().__init__(credential)
        self.root = root

    def expected(self) -> str:
        return "Basic " + base64.b64encode(f"{USERNAME}:{self.credential.reveal()}".encode()).decode()

    def error(self, status: int) -> web.Response:
        headers = {"WWW-Authenticate": 'Basic realm="GitHub"'} if status == 401 else {}
        headers |= {"Location": f"https://{Public.host}/elsewhere"} if status == 301 else {}
        return web.Response(text=MESSAGES[status] + "\n", status=status, headers=headers)

    async def answer(self, call: Call) -> web.StreamResponse:
        request = call.request
        if request.path.endswith("/info/lfs/objects/batch"):
            return self._batch(json.loads(call.body))
        if not (self.root / (request.path.strip("/").partition(".git")[0] + ".git")).is_dir():
            return self.error(404)
        return await backend(request, call.body, self.root, USERNAME)

    def _batch(self, asked: dict[str, Any]) -> web.Response:
        """Where the files are. (As GitLab's and Gitea's do, and GitHub's does not, it hands the client's own header back.)"""
        found = [
            {"oid": one["oid"], "size": one["size"], "actions": {"download": {"href": f"https://{Public.host}/{one['oid']}"}}}
            for one in asked["objects"]
        ]
        answer = {"transfer": "basic", "objects": found, "said": self.expected()}
        return web.json_response(answer, content_type="application/vnd.git-lfs+json")


class Public(Api):
    """Repositories under `root`, as /<name>.git, and large files by their SHA-256. It takes no credential."""

    host = "public.git.test"
    header: ClassVar = ""

    def __init__(self, root: Path) -> None:
        super().__init__(Redacted(""))
        self.root = root
        self.objects: dict[str, bytes] = {}

    def knows(self, request: web.Request) -> bool:
        return not any(name in request.headers for name in CREDENTIAL_HEADERS)

    def error(self, status: int) -> web.Response:
        return web.Response(text="no\n", status=status)

    async def answer(self, call: Call) -> web.StreamResponse:
        if (content := self.objects.get(call.request.path.lstrip("/"))) is not None:
            return web.Response(body=content)
        return await backend(call.request, call.body, self.root)
