"""Sees by a devbox of its own whether devboxes start, and whether they are confined; the devbox goes again, whatever happens.

Goes in: a client, an image. Comes out: findings, none where all is well. The devbox itself does nothing: devbox-init, which comes first,
tries what no NetworkPolicy allows, and the operator says what it saw.
"""

import asyncio
from contextlib import suppress
from time import monotonic
from typing import Final

from devbox_api.judge.shown import command
from devbox_gateway.client import AsyncDevboxGateway
from devbox_gateway.errors import APIConnectionError, DevboxGatewayError, NotFoundError
from devbox_gateway.kube.session import Object
from devbox_gateway.objects.devbox import AsyncDevbox
from devbox_gateway.objects.waiting import describe, progress_of

from . import objects
from .facts import Facts, Hidden, conditions
from .report import Finding, Result, Unchecked

NAME: Final = "doctor-probe"
SECONDS: Final = 120.0
PAUSE: Final = 1.0
_NONE: Final = Hidden("only the probe was looked at")


async def probe(client: AsyncDevboxGateway, image: str | None, seconds: float = SECONDS) -> list[Result]:
    """Make it, look at it, take it away."""
    try:
        devbox = await client.devboxes.create_async(name=NAME, image=image)
    except DevboxGatewayError as error:
        return [Unchecked("probe", f"no devbox could be made: {error}")]
    try:
        return _judged(await _settled(client, devbox, seconds), seconds)
    except NotFoundError:
        return [Unchecked("probe", "somebody deleted the devbox meanwhile")]
    finally:
        # (Also where this is cancelled: what was made for a moment is not left behind.)
        await asyncio.shield(_removed(devbox))


async def _removed(devbox: AsyncDevbox) -> None:
    try:
        await devbox.shutdown()
    except NotFoundError:
        return
    except DevboxGatewayError as error:
        line = command("kubectl", "-n", devbox.namespace, "delete", "devbox", devbox._reference.name)
        raise DevboxGatewayError(f"the doctor's devbox is left behind ({error}); delete it: {line}") from None


async def _settled(client: AsyncDevboxGateway, devbox: AsyncDevbox, seconds: float) -> Object:
    """The Devbox once EgressConfined is decided, or as it is when the time is over."""
    until = monotonic() + seconds
    while True:
        with suppress(APIConnectionError):
            await devbox.get_info()
        seen = devbox._seen
        if _decided(seen) or monotonic() > until:
            return seen
        await asyncio.sleep(PAUSE)


def _decided(seen: Object) -> bool:
    found = {each["type"]: each for each in conditions(seen)}
    confined = found.get("EgressConfined") or {}
    # (What waits for a canary that nobody can see may well wait for a moment alone: the time decides.)
    told = confined.get("status") == "True" or (confined.get("status") == "False" and confined.get("reason") != "Waiting")
    return told or (found.get("Stalled") or {}).get("status") == "True"


def _judged(seen: Object, seconds: float) -> list[Result]:
    facts = Facts(seen["metadata"]["namespace"], "", _NONE, devboxes=(seen,), configs=_NONE, policies=_NONE)
    kinds = (("confinement", objects.CONFINEMENT), ("references", objects.REFERENCE), ("admission", objects.ADMISSION))
    found: list[Result] = [each for name, kind in kinds for each in objects.told(kind, name, facts)]
    confined = next((each for each in conditions(seen) if each["type"] == "EgressConfined"), {})
    if found or confined.get("status") == "True":
        return found
    return [
        Finding(
            "probe",
            f"a devbox of the doctor's was not seen to be confined within {seconds:g} s: {describe(progress_of(seen))}",
            "devboxes do not start here, or slowly",
            ("look at what it waits for; an image that takes long to pull: doctor --probe --image IMAGE",),
        )
    ]
