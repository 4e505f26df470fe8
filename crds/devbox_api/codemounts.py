"""The repositories of a devbox, cloned into its workspace before the agent starts. Part of `devbox.py`'s model; what their addresses, refs
and paths may be is judge/mounts.py's, which these rules repeat in CEL."""

from typing import Annotated, Final

from pydantic import Field

from .judge import mounts
from .schema import ApiModel, cel, rules

WORKSPACE_PATH: Final = "/workspace"
"""Where the workspace is, unless the Devbox says otherwise."""
_AT_MOST: Final = 8
_HTTPS: Final = "self.startsWith('https://')"
_USER_INFO: Final = "self.contains('@')"
_REPOSITORY: Final = f"self.matches(r'{mounts.REPOSITORY_FORM}') && !self.matches(r'{mounts.DOTS}')"


class CodeMount(ApiModel):
    """One repository, cloned over https before the agent starts. A finished clone is the agent's: it is never changed again."""

    name: str = Field(
        min_length=1,
        max_length=63,
        json_schema_extra=rules(
            cel("self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')", "write lower-case letters, digits and '-', e.g. app")
        ),
    )
    """A name for it, which is also where it is in the workspace, unless path says otherwise."""
    repository: str = Field(
        min_length=1,
        max_length=mounts.MOST_REPOSITORY,
        json_schema_extra=rules(
            cel(_HTTPS, mounts.NOT_HTTPS),
            cel(f"!{_HTTPS} || !{_USER_INFO}", mounts.USER_INFO),
            cel(f"!{_HTTPS} || {_USER_INFO} || ({_REPOSITORY})", mounts.NOT_REPOSITORY),
        ),
    )
    """Its address, e.g. https://github.com/org/repo."""
    ref: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        json_schema_extra=rules(
            cel(f"self.matches(r'{mounts.REF_FORM}') && !self.matches(r'{mounts.REF_WRONG}')", mounts.NOT_REF)
        ),
    )
    """A branch, a tag or a commit; the repository's default branch, unless set."""
    path: str | None = Field(
        default=None,
        min_length=1,
        max_length=mounts.MOST_PATH,
        json_schema_extra=rules(cel(f"self.matches(r'{mounts.PATH_FORM}')", mounts.NOT_PATH)),
    )
    """Where in the workspace, e.g. services/app; the name, unless set."""
    gateway: str | None = Field(default=None, min_length=1, max_length=63)
    """The name of the entry of gateways whose API is the repository's host; unless set it is reached as the EgressPolicy allows."""
    depth: int | None = Field(default=None, ge=1, le=2147483647, json_schema_extra={"format": "int32"})
    """How many commits, of the one branch or tag; all of all, unless set."""
    submodules: bool = False
    """Submodules, too, and those of submodules."""
    lfs: bool = False
    """Large files (git LFS), too."""
    install_command: str | None = Field(default=None, min_length=1, max_length=32768)
    """Run by sh in the clone, in an image and an environment like the agent's, before each pod's agent starts. What it leaves in the
    workspace and in HOME stays, e.g. npm ci."""
    install_timeout_seconds: int = Field(default=1800, ge=1, le=86400, json_schema_extra={"format": "int32"})
    """How long it may take."""

    @property
    def place(self) -> str:
        """In the workspace."""
        return self.path or self.name


def _place(mount: str) -> str:
    return f"(has({mount}.path) ? {mount}.path : {mount}.name)"


CodeMounts = Annotated[
    tuple[CodeMount, ...],
    Field(
        max_length=_AT_MOST,
        json_schema_extra=rules(
            cel(
                f"self.all(m, self.all(n, m.name == n.name || !({_place('n')} + '/').startsWith({_place('m')} + '/')))",
                "two code mounts have the same path, or one is within another; give each a folder of its own (path)",
            ),
            list_type="map",
            list_map_keys=["name"],
        ),
    ),
]

GATEWAY_IS_THERE: Final = cel(
    "!has(self.codeMounts) || self.codeMounts.all(m, !has(m.gateway) || (has(self.gateways) && "
    "self.gateways.exists(g, g.name == m.gateway)))",
    "a code mount names a gateway that is not in spec.gateways; add it there, or correct codeMounts[].gateway",
    field=".codeMounts",
)
REACHED: Final = cel(
    "!has(self.codeMounts) || has(self.egressPolicyRef) || self.codeMounts.all(m, has(m.gateway))",
    "a code mount without a gateway is reached as an EgressPolicy allows, and there is none; name one that allows the repository's host "
    "(egressPolicyRef), or a gateway that leads there (codeMounts[].gateway)",
    field=".codeMounts",
)
NOTHING_OVER_THEM: Final = cel(
    f"!has(self.codeMounts) || has(self.workspace) || !has(self.volumes) || self.volumes.all(v, v.mountPath != '{WORKSPACE_PATH}' && "
    f"!v.mountPath.startsWith('{WORKSPACE_PATH}/'))",
    f"code mounts are cloned below {WORKSPACE_PATH}, and a volume is mounted there; choose another mountPath, or use spec.workspace in its "
    "place",
    field=".volumes",
)
"""Rules for a Devbox's spec."""
