"""The gateway's certificate is renewed under traffic: by the operator, through the Secret and the pod's volume; and half written. And so
is its CA, under devboxes that trust the certificate before.

Goes in: a stage. Comes out: rows. The gateway serves with the operator's own certificate, in files that are replaced as a kubelet does it,
and the devbox trusts the bundle that the operator gave its namespace.
"""

import asyncio
import base64
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic as now
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.chaos.client import Tally
from tests.chaos.report import Row, timed
from tests.chaos.world import eventually
from tests.support.release import NAMESPACE

from devbox_api import names
from devbox_common.kube import Object
from devbox_operator.kit import paths

from .stage import Stage
from .traffic import Agent, Load, Traffic, traffic

SECRET: Final = paths.secrets(NAMESPACE, names.LEAF_SECRET)
AUTHORITY: Final = paths.secrets(NAMESPACE, names.CA_SECRET)
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


async def leaf_renewal(stage: Stage, long: bool) -> list[Row]:
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
            rows += await _authority(stage, cars, agent, volume)
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


async def _authority(stage: Stage, cars: Traffic, agent: Agent, volume: Volume) -> list[Row]:
    """The CA's certificate is narrowed and renewed under what trusts the old one, and the gateway's own is made under the new one."""
    before = await _ca(stage)
    async with _asked(cars, agent) as tally:
        # As version 0.1.0 made it: with the same key, and good for any address and any use.
        await stage.patch(AUTHORITY, {"data": {"ca.crt": _wide(before)}})
        began = now()
        narrowed = await _ca(stage, until=_excludes_addresses)
        took = now() - began
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        await stage.patch(AUTHORITY, {"metadata": {"annotations": {names.RENEWED_AT_ANNOTATION: moment}}})
        renewed = await _ca(stage, until=lambda item: _end(item) > _end(narrowed))
        old = await _serial(cars)
        volume.write(await _next(stage))
        start = now()
        while await _serial(cars) == old and now() - start < 2 * SERVED_SECONDS:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.1)
        served = now() - start
        cars.trust.load_verify_locations(cadata=_text(renewed).decode())
    kept = all(item["data"]["ca.key"] == before["data"]["ca.key"] for item in (narrowed, renewed))
    annotations = renewed["metadata"]["annotations"]
    return [
        timed("a CA of version 0.1.0 is there when the operator looks", "narrowed ≤5 s, same key and end",
            f"{took:.1f} s", took <= 5, kept and _end(narrowed) == _end(before)),
        Row("the CA is renewed by its annotation", "ten years from now, and the end of the old one is kept",
            f"{names.EARLIER_END_ANNOTATION}: {annotations.get(names.EARLIER_END_ANNOTATION)}",
            kept and names.EARLIER_END_ANNOTATION in annotations),
        _row("both, and a certificate under the new one, for devboxes that trust the old one", tally, served, right=True),
    ]  # fmt: skip


async def _ca(stage: Stage, until: Callable[[Object], bool] = lambda _: True) -> Object:
    """The CA's Secret, once it is so."""
    found: list[Object] = []

    async def there() -> bool:
        item = await stage.get(AUTHORITY)
        found[:] = [item] if item and until(item) else []
        return bool(found)

    await eventually(there, 20)
    return found[0]


def _text(item: Object) -> bytes:
    return base64.b64decode(item["data"]["ca.crt"])


def _end(item: Object) -> datetime:
    return x509.load_pem_x509_certificate(_text(item)).not_valid_after_utc


def _excludes_addresses(item: Object) -> bool:
    constraints = x509.load_pem_x509_certificate(_text(item)).extensions.get_extension_for_class(x509.NameConstraints)
    return bool(constraints.value.excluded_subtrees)


def _wide(item: Object) -> str:
    certificate = x509.load_pem_x509_certificate(_text(item))
    key = serialization.load_pem_private_key(base64.b64decode(item["data"]["ca.key"]), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    builder = (
        x509.CertificateBuilder(certificate.issuer, certificate.subject, certificate.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(certificate.not_valid_before_utc)
        .not_valid_after(certificate.not_valid_after_utc)
    )
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.NameConstraints):
            value = x509.NameConstraints(value.permitted_subtrees, None)
        if not isinstance(value, x509.ExtendedKeyUsage):
            builder = builder.add_extension(value, critical=extension.critical)
    made = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return base64.b64encode(made).decode()


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
    right = right and count > 100 and not tally.errors
    return timed(
        what, f"0 requests failed; new connections have it ≤{SERVED_SECONDS:g} s", measured, took <= SERVED_SECONDS, right
    )
