"""A release with `watchNamespaces`: Roles alone are enough for the whole job, and lead nowhere else; with `sourceSecrets: Named` those
that a condition prints are enough for the Secrets. And what every account may do.

`kubectl auth can-i --list` is asked for each service account in each kind of namespace, less what everybody may, and compared with
tests/chaos/rights/. To write those anew after a change of the roles that was meant: DEVBOX_WRITE_RIGHTS=1 make chaos-short.
"""

import base64
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import uvloop
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.fleet import HOSTS, fill_namespace
from tests.support.release import CREDENTIALS, NAMESPACE, Release, install

from devbox_api import names
from devbox_common.kube import MERGE_PATCH
from devbox_operator.kit import paths

from .operator.stage import Stage, stage
from .operator.traffic import Traffic, traffic
from .world import eventually

pytestmark = pytest.mark.xdist_group("watch-namespaces")
WATCHED: Final = ("team-a", "team-b")
OTHER: Final = "team-c"
ROLES: Final[dict[str, Any]] = {"watchNamespaces": list(WATCHED)}
RELEASES: Final[dict[str, dict[str, Any]]] = {
    "cluster-wide": {},
    "watchNamespaces": ROLES,
    "named": {**ROLES, "rbac": {"sourceSecrets": "Named"}},
}
ACCOUNTS: Final = {"operator": (NAMESPACE, "devbox-operator"), "gateway": (NAMESPACE, "devbox-gateway"),
                   "devbox-agent": (WATCHED[0], names.AGENT_SERVICE_ACCOUNT)}  # fmt: skip
RIGHTS: Final = Path(__file__).parent / "rights"
LIVE_SECONDS: Final = 5.0


@pytest.fixture(scope="module", params=RELEASES)
def release(request: pytest.FixtureRequest) -> Iterator[Release]:
    with control_plane() as plane:
        for namespace in (*WATCHED, OTHER):
            plane.kubectl("create", "namespace", namespace)
        made = install(plane, RELEASES[request.param])
        made.name = request.param
        yield made
        made.end()


def _may(plane: ControlPlane, namespace: str, *who: str) -> set[str]:
    """Resources, names and verbs; a line each."""
    said = plane.kubectl("auth", "can-i", "--list", "--no-headers", "--namespace", namespace, *who)
    return {" ".join(line.split()) for line in said.splitlines()}


def rights(plane: ControlPlane, account: str) -> str:
    """What the account may that not everybody may, by namespace."""
    home, name = ACCOUNTS[account]
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{home}", "system:authenticated")
    as_groups = [f"--as-group={group}" for group in groups]
    found = []
    for namespace in (WATCHED[0], OTHER, NAMESPACE, CREDENTIALS, "default", "kube-system"):
        mine = _may(plane, namespace, f"--as=system:serviceaccount:{home}:{name}", *as_groups)
        everybody = _may(plane, namespace, "--as=nobody", *as_groups)
        found += [f"in {namespace}", *(f"  {line}" for line in sorted(mine - everybody)), ""]
    return "\n".join(found)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_what_an_account_may_do(release: Release, account: str) -> None:
    path = RIGHTS / f"{release.name}-{account}.txt"
    found = rights(release.plane, account)
    if os.environ.get("DEVBOX_WRITE_RIGHTS"):
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8"), f"other rights than {path} says"


async def the_whole_job(on: Stage, cars: Traffic, space: str) -> None:
    """Made, served, changed, replaced, deleted."""
    await on.create(space)
    agent = await cars.agent(space)
    assert await on.converged(space) is not None, await on.problems(space)
    assert (await cars.answers(agent)).fine
    await on.patch(paths.secrets(space, "anthropic"), {"stringData": {"key": "sk-another-value"}})

    async def rotated() -> bool:
        return (await cars.answers(agent)).fine and cars.shown[-1] == "sk-another-value"

    await eventually(rotated, LIVE_SECONDS)
    await on.patch(paths.gatewayconfigs(space, "anthropic"), {"spec": {"rules": [{"paths": ["/other"]}]}})

    async def forbidden() -> bool:
        return (await cars.answers(agent)).status == 403

    await eventually(forbidden, LIVE_SECONDS)
    await on.patch(paths.gatewayconfigs(space, "anthropic"), {"spec": {"rules": None}})
    restart = {"metadata": {"annotations": {names.RESTARTED_AT_ANNOTATION: "1"}}}
    await on.patch(paths.devboxes(space, "agent"), restart)

    async def another() -> bool:
        return [pod["metadata"]["uid"] for pod in await on.pods(space)] not in ([], [agent.uid])

    await eventually(another, 30)
    assert (await cars.answers(await cars.agent(space))).fine
    await on.api.request("DELETE", paths.devboxes(space, "agent"))
    assert await on.gone(space) is not None


async def named(on: Stage, space: str) -> None:
    """The operator may read no Secret until its owner has typed what the condition says; then it reads that one."""
    metadata = {"name": "settings", "labels": {names.MOUNTABLE_LABEL: "true"}}
    settings = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"value": "42"}}
    await on.api.request("POST", paths.secrets(space), body=settings)
    await on.create(space, secretEnv=[{"name": "MAGIC", "secretRef": {"name": "settings"}}])
    said: list[str] = []

    async def forbidden() -> bool:
        box = await on.get(paths.devboxes(space, "agent")) or {}
        conditions = box.get("status", {}).get("conditions", ())
        said[:] = [
            one["message"] for one in conditions if one["reason"] == "SecretForbidden" and one["type"] == "CredentialsResolved"
        ]
        return bool(said) and said[0].count("create rolebinding") == len(HOSTS) + 1

    await eventually(forbidden, 20)
    for command in re.findall("kubectl (-n [^;\n]+)", said[0]):
        on.release.plane.kubectl(*shlex.split(command))
    assert await on.converged(space) is not None, await on.problems(space)
    (pod,) = await on.pods(space)
    given = (await on.get(paths.secrets(space, pod["metadata"]["name"])) or {})["data"]
    assert base64.b64decode(given[f"{names.SECRET_ENV_PREFIX}MAGIC"]) == b"42", "what its agent reads, by a Role for that name"
    await on.api.request("DELETE", paths.devboxes(space, "agent"))
    assert await on.gone(space) is not None


async def withdrawn(on: Stage, cars: Traffic, space: str) -> None:
    """The owner's grant, taken away by the operator; and with nobody but the gateway to look at it."""
    await on.create(space)
    agent = await cars.agent(space)
    assert (await cars.answers(agent)).fine
    on.stop()
    credential = paths.secrets(CREDENTIALS, names.credential_name(space, "anthropic", "key"))
    for hosts, wanted in (("elsewhere.example", 403), (HOSTS["ANTHROPIC"], 200)):
        body = {"metadata": {"annotations": {names.ALLOWED_HOSTS_ANNOTATION: hosts}}}
        async with on.as_operator() as mad:
            await mad.request("PATCH", credential, body=body, content_type=MERGE_PATCH)

        async def so(wanted: int = wanted) -> bool:
            return (await cars.answers(agent)).status == wanted

        await eventually(so, LIVE_SECONDS)
    await on.alone()
    grants: tuple[tuple[str | None, str], ...] = (
        ("elsewhere.example", "SecretNotGranted"),
        (HOSTS["ANTHROPIC"], "Resolved"),
        (None, "SecretNotGranted"),
    )
    for grant, reason in grants:
        granted = {"metadata": {"annotations": {names.ALLOWED_HOSTS_ANNOTATION: grant}}}
        await on.patch(paths.secrets(space, "anthropic"), granted)

        async def said(reason: str = reason) -> bool:
            conditions = ((await on.get(paths.devboxes(space, "agent"))) or {})["status"]["conditions"]
            found = {condition["type"]: condition["reason"] for condition in conditions}
            return found["CredentialsResolved"] == reason and (await cars.answers(agent)).fine == (reason == "Resolved")

        await eventually(said, LIVE_SECONDS)
    assert await on.get(credential) is None, "what nobody granted is not kept"


def test_roles_alone_are_enough_and_lead_nowhere_else(release: Release) -> None:
    async def run() -> None:
        async with stage(release) as on:
            replica = await on.alone()
            for namespace in (*WATCHED, OTHER):
                await fill_namespace(on.api, namespace)
            if release.name == "named":
                for namespace in WATCHED:
                    await named(on, namespace)
            else:
                await on.collector_is_ready(WATCHED[0])
            async with traffic(on, watchNamespaces=RELEASES[release.name].get("watchNamespaces", [])) as cars:
                await on.create(OTHER)
                for namespace in WATCHED:
                    await the_whole_job(on, cars, namespace)
                assert replica.operator.alive
                log = replica.operator.log.read_text(errors="replace")
                assert "orbidden" not in log or release.name == "named", [
                    line for line in log.splitlines() if "orbidden" in line
                ][:3]
                watched = release.name == "cluster-wide"
                assert bool(await on.pods(OTHER)) == watched, "where it does not watch, nothing is made"
                await withdrawn(on, cars, WATCHED[0])

    uvloop.run(run())
