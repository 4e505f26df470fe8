"""A request by way of one of the devbox's gateways, judged in the gateway's order: the request, its API, the rules, the credential.

Goes in: `Seen`, one entry of `spec.gateways`, the request. Comes out: a `Way`. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from devbox_api.judge import paths
from devbox_api.judge.endpoints import Endpoint, base_path, parse_endpoint
from devbox_api.judge.refusals import Refusal
from devbox_api.judge.rules import allowed, compile_rules

from .answer import Verdict, Way
from .asked import Asked
from .credentials import lacks_credential, told_against
from .namespaces import labels_missing, lets_in
from .seen import Missing, Object, Seen, condition, secret_of, where

_CONCEALED: Final = ": the credential of GatewayConfig "
"""In the operator's words on a credential of another namespace (credentials.concealed)."""


@dataclass(frozen=True)
class _Rule:
    methods: tuple[str, ...]
    paths: tuple[str, ...]

    def __str__(self) -> str:
        return f"{', '.join(self.methods) or 'every method'} on {', '.join(self.paths)}"


def judge(seen: Seen, binding: Mapping[str, Any], request: Asked) -> Way:
    """What the gateway says to it."""
    by = f"gateway {binding['name']}"

    def no(refusal: Refusal, decided: str) -> Way:
        return Way(Verdict.NO, by, decided, refusal.code, refusal.message)

    if (wrong := wrong_request(request)) is not None:
        return no(wrong, "the request itself")
    key = where(binding["gatewayRef"], seen.devbox["metadata"]["namespace"])
    config = seen.configs.get(key, Missing.ABSENT)
    if config is Missing.ABSENT:
        return no(Refusal.GATEWAY_GONE, f"GatewayConfig {key} does not exist")
    if isinstance(config, Missing):
        return _unseen(seen, binding, request, by, key)
    accepted = condition(config, "Accepted")
    if accepted.get("status") == "False":
        return no(Refusal.GATEWAY_GONE, f"GatewayConfig {key}: {accepted.get('reason')}: {accepted.get('message')}")
    if not lets_in(seen, config):
        return no(Refusal.GATEWAY_GONE, f"GatewayConfig {key}: its allowedNamespaces do not let this namespace in")
    try:
        endpoint = parse_endpoint(config["spec"]["endpoint"])
        rule, forbidden = _rule(config, endpoint, request)
    except ValueError:
        return no(Refusal.ROUTE_UNSUPPORTED, f"GatewayConfig {key} holds what no gateway can use")
    if (out := _out_of_reach(endpoint, request, by, binding["name"])) is not None:
        return out
    if forbidden:
        return no(Refusal.RULE_FORBIDS, f"GatewayConfig {key}, {rule}")
    secret = secret_of(binding, config, seen.devbox["metadata"]["namespace"])
    if (lacking := lacks_credential(seen, binding, config, secret)) is not None:
        return no(*lacking)
    unseen = _hidden(seen, config, secret, endpoint)
    verdict = Verdict.AS_FAR_AS_SEEN if unseen else Verdict.YES
    return Way(verdict, by, f"GatewayConfig {key}, {rule}", leads=_leads(endpoint, request), unseen=unseen)


def wrong_request(request: Asked) -> Refusal | None:
    """What is wrong with it before anybody looks where it leads."""
    if request.method not in paths.METHODS:
        return Refusal.METHOD_UNSUPPORTED
    if (wrong := paths.wrong(request.target)) is not None:
        return wrong
    return Refusal.TOKEN_IN_PATH if paths.holds_token(paths.split(request.target)[0]) else None


def _rule(config: Object, endpoint: Endpoint, request: Asked) -> tuple[str, bool]:
    """Which entry of spec.rules decides, and whether it is a no."""
    rules = [_Rule(tuple(rule.get("methods") or ()), tuple(rule["paths"])) for rule in config["spec"].get("rules") or []]
    if not rules:
        return "which has no rules: everything may be asked for", False
    base = base_path(endpoint)
    for number, rule in enumerate(rules):
        if allowed(compile_rules([rule]), base, request.method, request.target):
            return f"spec.rules[{number}]: {rule}", False
    path = base.join(paths.split(request.target)[0]).decode("utf-8", "replace")
    return f"spec.rules: none of {len(rules)} allows {request.method} {path}", True


def _out_of_reach(endpoint: Endpoint, request: Asked, by: str, name: str) -> Way | None:
    """A URL of the API's own that no request through the gateway can ask for, since another path stands before all of them."""
    base, path = base_path(endpoint), paths.split(request.target)[0]
    joined = base.join(path)
    if request.where is None or request.where.host != endpoint.host.rstrip(".") or joined == path:
        return None
    own, leads = path.decode("utf-8", "replace"), joined.decode("utf-8", "replace")
    return Way(
        Verdict.NO,
        by,
        f"what is asked of ${name}_URL is below {base.path.decode()}, and {own} is not: ${name}_URL{own} leads to {leads}",
    )


def _hidden(seen: Seen, config: Object, secret: str | None, endpoint: Endpoint) -> tuple[str, ...]:
    unseen = []
    told = condition(seen.devbox, "CredentialsResolved").get("status") == "True"
    if not told:
        if isinstance(seen.secrets.get(secret or "", Missing.FORBIDDEN), Missing):
            unseen.append(f"Secret {secret} (no right to get it): its grant and its value")
        else:
            unseen.append(f"Secret {secret}: its value")
    if condition(config, "Accepted").get("status") != "True":
        unseen.append("the chart's upstreams settings: the operator has not looked at the GatewayConfig yet")
    if labels_missing(seen, config):
        unseen.append("the labels of the devbox's namespace (no right to get it), by which allowedNamespaces selects it")
    if not _is_address(endpoint.host):
        unseen.append(f"where {endpoint.host} leads (DNS), and whether that is closed (the floor, upstreams.allowedCIDRs)")
    return tuple(unseen)


def _unseen(seen: Seen, binding: Mapping[str, Any], request: Asked, by: str, key: str) -> Way:
    """The GatewayConfig may not be read: what the devbox's own status says is all there is."""
    told = condition(seen.devbox, "CredentialsResolved").get("status")
    hidden = (f"GatewayConfig {key} (no right to get it): its rules and its credential",)
    if (against := told_against(seen, binding, None, "")) is not None:
        refusal = Refusal.CREDENTIAL_GONE if _CONCEALED in against else Refusal.GATEWAY_GONE
        return Way(Verdict.NO, by, against, refusal.code, refusal.message)
    if told in ("True", "False"):
        return Way(
            Verdict.AS_FAR_AS_SEEN, by, "the Devbox's condition CredentialsResolved says nothing against it", unseen=hidden
        )
    return Way(Verdict.UNSEEN, by, "the operator has not said yet whether its credential can be used", unseen=hidden)


def _leads(endpoint: Endpoint, request: Asked) -> str:
    path = base_path(endpoint).join(paths.split(request.target)[0])
    return endpoint.origin + path.decode("utf-8", "replace")


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
