"""The gateway's certificate is renewed under traffic: by the operator, through the Secret and the pod's volume; and half written.

Goes in: a stage. Comes out: rows. The gateway serves with the operator's own certificate, in files that are replaced as a kubelet does it,
and the devbox trusts the bundle that the operator gave its namespace.
"""

import asyncio
import base64
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic as now
from typing import Final

from tests.chaos.client import Tally
from tests.chaos.report import Row
from tests.chaos.world import eventually
from tests.support.release import NAMESPACE

from devbox_api import names
from devbox_common.kube import Object
from devbox_operator import paths

from .stage import Stage
from .traffic import Agent, Load, Traffic, traffic

SECRET: Final = paths.secrets(NAMESPACE, names.LEAF_SECRET)
SERVED_SECONDS: Final = 20.0
"""The gateway looks at its files every 10 s."""
LOOK_SECONDS: Final = 11.0
FILES: Final = ("tls.crt", "tls.key")


class Volume:
    """A Secret's files: two links to a folder that is replaced as a whole."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._number = folder, 0
        for name in FILES:
            (folder / name).symlink_to(Path("..data") / name)

    def write(self, secret: Object) -> None:
        """Replace all of it at once."""
        self._number += 1
        place = self.folder / f"..{self._number}"
        place.mkdir()
        for name in FILES:
            (place / name).write_bytes(base64.b64decode(secret["data"][name]))
        link = self.folder / "..next"
        link.symlink_to(place.name)
        link.rename(self.folder / "..data")

    def write_one(self, name: str, secret: Object) -> None:
        """Only one of the files, and in place."""
        (self.folder / "..data" / name).write_bytes(base64.b64decode(secret["data"][name]))


async def leaves(stage: Stage, long: bool) -> list[Row]:
    """Renewed again and again."""
    await stage.alone()
    space = await stage.namespace()
    await stage.create(space)
    assert await stage.converged(space) is not None
    bundle = await stage.get(paths.core("configmaps", space, names.CA_CONFIG_MAP))
    assert bundle is not None
    trust = ssl.create_default_context(cadata=bundle["data"][names.CA_BUNDLE_KEY])
    with tempfile.TemporaryDirectory(prefix="leaves-") as name:
        volume = Volume(Path(name))
        volume.write(await _leaf(stage))
        files = {"certFile": f"{name}/tls.crt", "keyFile": f"{name}/tls.key"}
        async with traffic(stage, trust=trust, listen={"tls": files}) as cars:
            cars.host = names.gateway_host(NAMESPACE)
            agent = await cars.agent(space)
            rows = [await _renewed(stage, cars, agent, volume, 3 if long else 1)]
            if long:
                rows.append(await _half_written(stage, cars, agent, volume))
    return rows


async def _leaf(stage: Stage, other_than: str = "") -> Object:
    """The operator's certificate; with `other_than` (a UID), the one that it makes next."""
    found: list[Object] = []

    async def there() -> bool:
        item = await stage.get(SECRET)
        if item is None or item["metadata"]["uid"] == other_than:
            return False
        found.append(item)
        return True

    await eventually(there, 20)
    return found[-1]


async def _serial(cars: Traffic) -> str:
    """Of the certificate that a new connection is shown, which the devbox's bundle has to stand for."""
    _, writer = await asyncio.open_connection(*cars.address, ssl=cars.trust, server_hostname=cars.host)
    try:
        return str(writer.get_extra_info("ssl_object").getpeercert()["serialNumber"])
    finally:
        writer.close()


async def _next(stage: Stage) -> Object:
    """The operator makes another certificate."""
    old = await _leaf(stage)
    await stage.api.request("DELETE", SECRET)
    return await _leaf(stage, other_than=old["metadata"]["uid"])


async def _renewed(stage: Stage, cars: Traffic, agent: Agent, volume: Volume, times: int) -> Row:
    took, serials = [], {await _serial(cars)}
    async with _asked(cars, agent) as tally:
        for _ in range(times):
            volume.write(await _next(stage))
            start, before = now(), len(serials)
            while len(serials) == before and now() - start < 2 * SERVED_SECONDS:
                serials.add(await _serial(cars))
                await asyncio.sleep(0.1)
            took.append(now() - start)
    return _row(f"the gateway's certificate renewed {times} times", tally, max(took), len(serials) == times + 1)


async def _half_written(stage: Stage, cars: Traffic, agent: Agent, volume: Volume) -> Row:
    """A pair that doesn't fit is not taken: the old one serves on until the other half is there."""
    before, secret = await _serial(cars), await _next(stage)
    async with _asked(cars, agent) as tally:
        volume.write_one("tls.crt", secret)
        await asyncio.sleep(LOOK_SECONDS)
        kept = await _serial(cars) == before
        volume.write_one("tls.key", secret)
        start = now()
        while await _serial(cars) == before and now() - start < 2 * SERVED_SECONDS:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.1)
        took = now() - start
    return _row("the same, with the certificate written 11 s before its key", tally, took, kept)


@contextlib.asynccontextmanager
async def _asked(cars: Traffic, agent: Agent) -> AsyncIterator[Tally]:
    """Two clients ask on and on: one on a connection that it keeps, one with a new one for each request."""
    tally = Tally()
    kept = Load(cars.client(agent), 0.02)

    async def anew() -> None:
        while True:
            began = now()
            tally.add(began, await cars.answers(agent))
            await asyncio.sleep(0.02)

    task = asyncio.create_task(anew())
    try:
        yield tally
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        other = await kept.end()
        tally.seconds += other.seconds
        tally.errors += other.errors


def _row(what: str, tally: Tally, took: float, right: bool) -> Row:
    count = len(tally.seconds) + len(tally.errors)
    measured = f"{len(tally.errors)} of {count} failed{f' ({tally.kinds})' if tally.errors else ''}; served after {took:.1f} s"
    fine = count > 100 and not tally.errors and right and took <= SERVED_SECONDS
    return Row(what, f"0 requests failed; new connections have it ≤{SERVED_SECONDS:g} s", measured, fine)
