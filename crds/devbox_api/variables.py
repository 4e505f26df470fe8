"""The environment of a devbox: what its owner writes, what holds tokens in place of keys, and names that nobody may set.

Part of `devbox.py`'s model.
"""

from typing import Annotated

from pydantic import ConfigDict, Field

from . import names
from .schema import ApiModel, cel, rules
from .shared import MountableSecretRef, NamespaceName, ObjectName, SecretRef

_READ_BY_OTHERS = (
    "BASH_ENV CDPATH ENV GLOBIGNORE HOME HOSTNAME IFS LANG LOGNAME OLDPWD PATH PPID PROMPT_COMMAND PS1 PS2 PS4 PWD SHELL "
    "SHELLOPTS SHLVL TERM TMPDIR UID USER HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY CLASSPATH JAVA_TOOL_OPTIONS "
    "NODE_OPTIONS NODE_PATH PERL5LIB PERL5OPT RUBYLIB RUBYOPT SSL_CERT_DIR"
)
RESERVED_VARIABLES = [*_READ_BY_OTHERS.split(), names.ADDRESSES_VARIABLE, *names.CA_VARIABLES]
"""Variables that a shell, a loader, a language's start-up or the gateway's own set-up reads: a token there would break it."""
RESERVED_PREFIXES = ("LD_", "DYLD_", "PYTHON", "GIT_CONFIG", "GIT_SSH", "KUBERNETES_", "NODE_EXTRA", "NODE_TLS", "NODE_USE")
_MANAGED_ENV = (
    *("HOME", "ALL_PROXY", "all_proxy", *names.PROXY_VARIABLES),
    *(names.ADDRESSES_VARIABLE, names.NODE_PROXY_VARIABLE, *names.CA_VARIABLES),
)


def _list(values: tuple[str, ...] | list[str]) -> str:
    return "[" + ", ".join(f"'{value}'" for value in values) + "]"


_NOT_RESERVED = f"!(self in {_list(RESERVED_VARIABLES)}) && " + " && ".join(
    f"!self.startsWith('{prefix}')" for prefix in RESERVED_PREFIXES
)
_RESERVED_MESSAGE = (
    "a shell, a loader or the gateway itself reads this variable, so that a token in it would break the devbox; "
    "choose another name, e.g. the API's: ANTHROPIC, GITHUB"
)
_UPPER = cel(
    "self.matches('^[A-Z][A-Z0-9_]*$')", "write upper-case letters, digits and '_', beginning with a letter, e.g. ANTHROPIC"
)

GatewayName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=63,
        json_schema_extra=rules(
            _UPPER,
            cel(
                "!self.endsWith('_URL')",
                "must not end in _URL: the address of gateway ANTHROPIC is in $ANTHROPIC_URL by itself",
            ),
            cel(_NOT_RESERVED, _RESERVED_MESSAGE),
        ),
    ),
]
AliasName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=63,
        json_schema_extra=rules(_UPPER, cel(_NOT_RESERVED, _RESERVED_MESSAGE)),
    ),
]
AliasNames = Annotated[tuple[AliasName, ...], Field(max_length=8, json_schema_extra=rules(list_type="set"))]


class GatewayReference(ApiModel):
    """A GatewayConfig, in this namespace unless another is named (which its allowedNamespaces has to allow)."""

    name: ObjectName
    """The GatewayConfig's name."""
    namespace: NamespaceName | None = None
    """Where it is; in the Devbox's namespace, unless set."""


class Aliases(ApiModel):
    """More variables with the same content, for tools that read a name of their own."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!has(self.token) || !has(self.url) || !self.token.exists(a, a in self.url)",
                "the same alias for token and url; every variable can hold one value",
            )
        )
    )

    token: AliasNames = ()
    """Variables that hold the token too, e.g. [GITHUB_TOKEN]."""
    url: AliasNames = ()
    """Variables that hold the address too, e.g. [ANTHROPIC_BASE_URL]."""


class DevboxGateway(ApiModel):
    """One API that the agent may use: $NAME_URL and $NAME."""

    name: GatewayName
    """The variable that holds the token, e.g. ANTHROPIC; the address is in $ANTHROPIC_URL."""
    gateway_ref: GatewayReference
    secret_ref: SecretRef | None = None
    """This devbox's own credential, a Secret of its namespace, in place of the GatewayConfig's."""
    aliases: Aliases | None = None


_VARIABLE = cel(
    "self.matches('^[A-Za-z_][A-Za-z0-9_]*$')", "write letters, digits and '_', beginning with a letter, e.g. LOG_LEVEL"
)


class EnvVar(ApiModel):
    """A literal environment variable. Secrets don't belong here: whatever is in it, the agent can read."""

    name: str = Field(
        min_length=1,
        max_length=128,
        json_schema_extra=rules(
            _VARIABLE,
            cel(f"!(self in {_list(_MANAGED_ENV)})", "the operator sets this variable; remove it"),
        ),
    )
    """The variable, e.g. LOG_LEVEL."""
    value: str = Field(default="", max_length=32768)
    """What it holds; empty, unless set. $(NAME) stands for a variable of a gateway or of secretEnv, or one further up in env, as in
    $(ANTHROPIC_URL)/v1, and $$ for a dollar sign. What NO_PROXY has here is added to the operator's own."""


class SecretVariable(ApiModel):
    """A variable with a Secret's value, for the agent to read: what an API's key is for belongs into gateways, which keep it from him."""

    name: str = Field(
        min_length=1,
        max_length=128,
        json_schema_extra=rules(
            _VARIABLE,
            cel(
                f"!(self in {_list([*dict.fromkeys((*RESERVED_VARIABLES, *_MANAGED_ENV, *names.NO_PROXY_VARIABLES))])})",
                "a shell, a loader or the operator itself sets or reads this variable; choose another name, e.g. DATABASE_PASSWORD",
            ),
        ),
    )
    """The variable, e.g. DATABASE_PASSWORD."""
    secret_ref: MountableSecretRef


def aliases_of(gateway: str) -> str:
    """A CEL list: all aliases of the gateway in that variable."""
    both = (f"(has({gateway}.aliases.{kind}) ? {gateway}.aliases.{kind} : [])" for kind in ("token", "url"))
    return f"(has({gateway}.aliases) ? {' + '.join(both)} : [])"
