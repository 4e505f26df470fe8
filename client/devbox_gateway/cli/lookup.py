"""Which devbox a person means: the one of that object name or id.

What somebody called one (the Python client's `name`) names none here: several devboxes may be called so, and one that is gone would leave
its place to a neighbour. It is told which ones are.
"""

from collections.abc import Sequence

from devbox_gateway.client import AsyncDevboxGateway
from devbox_gateway.errors import InvalidError, NotFoundError
from devbox_gateway.naming import DEVBOX, devbox_name, slug
from devbox_gateway.objects.devbox import AsyncDevbox

from .output import without_prefix
from .plain import cell


def new_name(option: str, text: str) -> str:
    """The name of a devbox that is to be made: its object has that very one. Raises InvalidError, which says what to write instead."""
    if devbox_name(text) is not None:
        return text
    stem = slug(text)
    if stem and not stem[0].isalpha():
        stem = f"devbox-{stem}"
    raise InvalidError(
        option,
        f"{cell(text)!r} can be no devbox's name: lower-case letters, digits and '-', at most 52, a letter first, no '-' last; "
        f"write e.g. {stem or 'agent'}",
    )


async def devbox(client: AsyncDevboxGateway, text: str) -> AsyncDevbox:
    """The one of that object name or id. Raises NotFoundError, which says what is called so; InvalidError for what is neither."""
    name = without_prefix(text)
    found = client.devboxes.from_id(name)  # (it refuses what is no name, and ids of other kinds)
    if name.startswith(DEVBOX.prefix) or devbox_name(name) is not None:
        try:
            await found.get_info()
        except NotFoundError as error:
            if name.startswith(DEVBOX.prefix) or "chart" in str(error):
                raise
        else:
            return found
    called = sorted(found._reference.name for found in await client.devboxes.list() if found.name == name)
    hint = f"; called so is {', '.join(called)}: write that" if called else ""
    raise NotFoundError(f"there is no devbox {name!r} in namespace {client.namespace}{hint}")


async def several(client: AsyncDevboxGateway, names: Sequence[str]) -> list[AsyncDevbox]:
    """All of them, each once, before anything is done to one. Raises NotFoundError, which names all that are missing, and those that are
    left as they are for that."""
    found: list[AsyncDevbox] = []
    missing: list[str] = []
    for name in names:
        try:
            found.append(await devbox(client, name))
        except NotFoundError as error:
            if "chart" in str(error).replace(name, ""):
                raise
            missing.append(str(error))
    if missing:
        others = ", ".join(dict.fromkeys(cell(one._reference.name) for one in found))
        raise NotFoundError("; ".join(dict.fromkeys(missing)) + (f"; left as they are: {others}" if others else ""))
    return list(dict.fromkeys(found))
