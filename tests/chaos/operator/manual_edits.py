"""Every child is deleted or edited by hand, and comes back.

Goes in: a stage. Comes out: rows. Admission policies guard the credentials namespace against everybody but the operator, so what is
done to it is done with the operator's own rights: one that has gone mad. They guard the NetworkPolicies against that one, too; what is
done to those is done in the garbage collector's name.
"""

import asyncio
import base64
from time import monotonic as now
from typing import Final

from tests.chaos.report import Row, timed
from tests.support.release import CREDENTIALS

from devbox_api import names
from devbox_common.kube import MERGE_PATCH, ApiError, KubeApi, Object
from devbox_operator.kit import paths

from .stage import Stage

RESTORED_SECONDS: Final = 5.0
Deed = tuple[str, KubeApi, str, str, Object | None]
"""What it is called, who does it, method, path, body."""
_JUNK: Final = base64.b64encode(b"junk").decode()


async def manual_edits(stage: Stage, long: bool) -> list[Row]:
    """One after the other, on a Devbox that works."""
    await stage.alone()
    space = await stage.namespace()
    await stage.create(space)
    assert await stage.converged(space) is not None, await stage.problems(space)
    async with stage.as_operator() as mad, stage.as_collector() as collector:
        rows = [await _refused(stage, space)]
        rows += [await _deed(stage, space, deed) for deed in await _deeds(stage, space, mad, collector)]
    return rows


async def _refused(stage: Stage, space: str) -> Row:
    """The administrator may not touch the credentials namespace."""
    uid = (await stage.pods(space))[0]["metadata"]["uid"]
    try:
        await stage.api.request("DELETE", paths.secrets(CREDENTIALS, f"route-{uid}"))
        said = "done"
    except ApiError as error:
        said = error.message
    fine = "only the operator writes Secrets here" in said
    return Row("Route deleted by an administrator", "refused, with the reason", said[:90], fine)


async def _deeds(stage: Stage, space: str, mad: KubeApi, collector: KubeApi) -> list[Deed]:
    pod = (await stage.pods(space))[0]["metadata"]
    config = await stage.get(paths.gatewayconfigs(space, "anthropic"))
    assert config is not None
    policy, secret = paths.networkpolicies(space, pod["name"]), paths.secrets(space, pod["name"])
    route = paths.secrets(CREDENTIALS, f"route-{pod['uid']}")
    credential = paths.secrets(CREDENTIALS, names.credential_name(space, "anthropic", "key"))
    gateway = paths.secrets(CREDENTIALS, f"gateway-{config['metadata']['uid']}")
    floor = paths.secrets(CREDENTIALS, names.FLOOR_NAME)
    bundle = paths.core("configmaps", space, names.CA_CONFIG_MAP)
    account = paths.core("serviceaccounts", space, names.AGENT_SERVICE_ACCOUNT)
    admin = stage.api
    return [
        ("NetworkPolicy deleted", collector, "DELETE", policy, None),
        ("NetworkPolicy emptied", collector, "PATCH", policy, {"spec": {"policyTypes": ["Ingress"], "egress": None}}),
        ("token Secret deleted", admin, "DELETE", secret, None),
        ("token Secret edited", admin, "PATCH", secret, {"data": {"ANTHROPIC": _JUNK}}),
        ("CA bundle deleted", admin, "DELETE", bundle, None),
        ("CA bundle edited", admin, "PATCH", bundle, {"data": {names.CA_BUNDLE_KEY: "junk"}}),
        ("credential deleted", mad, "DELETE", credential, None),
        ("credential edited", mad, "PATCH", credential, {"data": {names.CREDENTIAL_KEY: _JUNK}}),
        ("gateway document deleted", mad, "DELETE", gateway, None),
        ("gateway document edited", mad, "PATCH", gateway, {"data": {names.GATEWAY_KEY: _JUNK}}),
        ("floor deleted", mad, "DELETE", floor, None),
        ("floor edited", mad, "PATCH", floor, {"data": {names.FLOOR_KEY: _JUNK}}),
        ("Route edited", mad, "PATCH", route, {"data": {names.ROUTE_KEY: _JUNK}}),
        ("Route deleted", mad, "DELETE", route, None),
        ("ServiceAccount deleted", admin, "DELETE", account, None),
        ("pod deleted", admin, "DELETE", paths.pods(space, pod["name"]), None),
    ]


async def _deed(stage: Stage, space: str, deed: Deed) -> Row:
    what, api, method, path, body = deed
    before = await stage.get(path)
    content = MERGE_PATCH if body is not None else "application/json"
    demand = f"as it should be again ≤{RESTORED_SECONDS:g} s"
    try:
        changed = await api.request(method, path, body=body, content_type=content)
    except ApiError as error:  # what was done to it before was not put right
        return Row(what, demand, f"can't be done: {error}", held=False)
    start = now()
    took = None
    while now() - start < 30 and took is None:
        item = await stage.get(path)
        back = (
            item is None if what.startswith("pod ") else (item is not None and _same(item, before, changed if body else None))
        )
        if back and not await stage.problems(space):
            took = now() - start
        await asyncio.sleep(0.05)
    measured = f"{took:.1f} s" if took is not None else f"not: {', '.join(await stage.problems(space)) or 'as it was left'}"
    return timed(what, demand, measured, took is not None and took <= RESTORED_SECONDS)


def _same(item: Object, before: Object | None, edited: Object | None) -> bool:
    """It is another than the edited one, and says what it said before (but for tokens, which may be new)."""
    if edited is not None and item["metadata"]["resourceVersion"] == edited["metadata"]["resourceVersion"]:
        return False
    fresh = item.get("type") in (names.TOKENS_TYPE, names.ROUTE_TYPE)
    return before is None or fresh or (item.get("data"), item.get("spec")) == (before.get("data"), before.get("spec"))
