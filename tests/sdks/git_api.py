"""github.com, as far as git sees it: `git http-backend` over bare repositories, behind Basic authentication.

What the backend prints goes to the client as it is printed, so that a hook's words arrive while the hook is at work.
"""

import base64
from pathlib import Path
from typing import ClassVar, Final

from aiohttp import web
from tests.support.standins.git_host import backend

from devbox_common.redacted import Redacted

from .api import Api, Call

USERNAME: Final = "x-access-token"
MESSAGES: Final = {
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
        return web.Response(text=MESSAGES[status] + "\n", status=status, headers=headers)

    async def answer(self, call: Call) -> web.StreamResponse:
        request = call.request
        if not (self.root / request.path.strip("/").partition("/")[0]).is_dir():
            return self.error(404)
        return await backend(request, call.body, self.root, USERNAME)
