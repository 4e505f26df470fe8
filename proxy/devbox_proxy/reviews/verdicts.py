"""What the API server's answer to a TokenReview says: is it this pod's token, for this audience?

Goes in: the answer as it came. Comes out: a verdict, or a ValueError for what is no TokenReview: then nothing is known, neither yes nor
no. Pure.
"""

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from devbox_api import names
from devbox_api.route import Route
from devbox_common.kube import Object
from devbox_proxy.known.facts import TokenOwner

_POD, _CREDENTIAL = "authentication.kubernetes.io/pod-uid", "authentication.kubernetes.io/credential-id"
"""Facts that the API server adds (pkg/serviceaccount/util.go)."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)


class User(_Part):
    """Whose token it is."""

    username: str = ""
    extra: dict[str, list[str]] | None = None

    def fact(self, name: str) -> str:
        """One of the extra facts; empty where it is not there."""
        return ((self.extra or {}).get(name) or [""])[0]


class Status(_Part):
    """What the API server found. (It leaves out what is empty or false.)"""

    authenticated: bool = False
    audiences: list[str] | None = None
    user: User = User()


class _Answer(_Part):
    kind: Literal["TokenReview"]
    api_version: Literal["authentication.k8s.io/v1"] = Field(alias="apiVersion")
    status: Status


class Verdict(NamedTuple):
    """Yes or no."""

    accepted: bool
    why: str = ""
    """Where it is a no."""
    credential_id: str = ""
    """The token's id in the API server's own audit log, where it is a yes."""


def read(answer: Object) -> Status:
    """The status in an answer. Raises ValueError, whose text quotes nothing of it."""
    return _Answer.model_validate(answer).status


def verdict(status: Status, route: Route, owner: TokenOwner) -> Verdict:
    """Is it this pod's token, for this audience?"""
    if not status.authenticated:
        return Verdict(accepted=False, why="not authenticated")
    if owner.audience not in (status.audiences or ()):
        return Verdict(accepted=False, why="another audience")
    if status.user.fact(_POD) != route.pod.uid:
        return Verdict(accepted=False, why="another pod")
    if status.user.username != f"system:serviceaccount:{route.pod.namespace}:{names.AGENT_SERVICE_ACCOUNT}":
        return Verdict(accepted=False, why="another account")
    return Verdict(accepted=True, credential_id=status.user.fact(_CREDENTIAL))


def is_account(status: Status, user: str, audience: str) -> bool:
    """Is it a token of this ServiceAccount (`system:serviceaccount:<namespace>:<name>`), for this audience?"""
    return status.authenticated and audience in (status.audiences or ()) and status.user.username == user
