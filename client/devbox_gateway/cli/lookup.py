"""Which devbox a person means: an id, an object's name, or the name that somebody gave it."""

from collections.abc import Sequence

from devbox_gateway.client import AsyncDevboxGateway
from devbox_gateway.errors import InvalidError, NotFoundError
from devbox_gateway.naming import DEVBOX, devbox_name
from devbox_gateway.objects.devbox import AsyncDevbox

from .output import without_prefix


async def devbox(client: AsyncDevboxGateway, text: str) -> AsyncDevbox:
    """The one of that id or object name, else the one that a person called so. Raises NotFoundError; InvalidError where it is several."""
    name = without_prefix(text)
    if name.startswith(DEVBOX.prefix) or devbox_name(name) is not None:
        found = client.devboxes.from_id(name)
        try:
            await found.get_info()
        except NotFoundError as error:
            if name.startswith(DEVBOX.prefix) or "chart" in str(error):
                raise
        else:
            return found
    else:
        client.devboxes.from_id(name)  # (it refuses what is no name)
    called = [found for found in await client.devboxes.list() if found.name == name]
    if not called:
        raise NotFoundError(f"there is no devbox {name!r} in namespace {client.namespace}")
    if len(called) > 1:
        ids = ", ".join(sorted(found._reference.name for found in called))
        raise InvalidError("NAME", f"{len(called)} devboxes are called {name!r}; name one of {ids}")
    return called[0]


async def several(client: AsyncDevboxGateway, names: Sequence[str]) -> list[AsyncDevbox]:
    """All of them, each once, before anything is done to one."""
    return list(dict.fromkeys([await devbox(client, name) for name in names]))
