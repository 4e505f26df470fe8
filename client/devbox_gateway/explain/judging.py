"""Would this request of a devbox pass? The gateway's decision, from the objects that a person can see.

Goes in: `Seen`, a method and a URL. Comes out: an `Answer`. Pure: nothing is asked of anybody, and what decides is devbox_api.judge, which
the gateway decides by. What it judges besides, and nobody sees from outside, is said: whether the pod calls from its own address with a
good token, and where names lead.
"""

from collections.abc import Mapping
from typing import Any, Final

from devbox_api.judge.endpoints import parse_endpoint
from devbox_api.judge.refusals import Refusal

from . import asked as reading
from .answer import Answer, Verdict, Way, best_first
from .asked import Asked
from .by_gateway import judge as by_gateway
from .by_proxy import judge as by_proxy
from .seen import Missing, Object, Seen, condition, where

_FINISHED: Final = ("Succeeded", "Failed")


def explain(seen: Seen, method: str, url: str) -> Answer:
    """The whole of it. Raises InvalidError for what is no request."""
    request = reading.read(method, url)
    metadata = seen.devbox["metadata"]
    name = f"{metadata['namespace']}/{metadata['name']}"
    if (refusal := _whole_devbox(seen.devbox)) is not None:
        way = Way(Verdict.NO, "the devbox", _state(seen.devbox), refusal.code, refusal.message)
        return Answer(name, request.method, request.shown, (way,))
    return Answer(name, request.method, request.shown, best_first(_ways(seen, request)), _notes(seen.devbox))


def _ways(seen: Seen, request: Asked) -> list[Way]:
    if request.method == "CONNECT":
        return [by_proxy(seen, request)]
    bindings = [binding for binding in seen.devbox["spec"].get("gateways") or [] if _meant(seen, binding, request)]
    ways = [by_gateway(seen, binding, request) for binding in bindings]
    if request.variable and not ways:
        known = ", ".join(f"${each['name']}_URL" for each in seen.devbox["spec"].get("gateways") or []) or "none"
        ways.append(Way(Verdict.NO, f"gateway {request.variable}", f"the devbox has no gateway of this name; it has: {known}"))
    own = any(request.scheme == "https" and request.host.lower() == host for host in _own_hosts(seen.devbox))
    return ways if request.variable or own else [*ways, by_proxy(seen, request)]


def _meant(seen: Seen, binding: Mapping[str, Any], request: Asked) -> bool:
    """The request is one to this gateway's API: by the variable, by the gateway's own address, or by the API's."""
    if request.variable:
        return bool(binding["name"] == request.variable)
    if request.host.lower() in _own_hosts(seen.devbox):
        return True
    text = endpoint_of(seen, binding)
    if text is None:
        return False
    try:
        endpoint = parse_endpoint(text)
    except ValueError:
        return False
    host = request.where.host if request.where else request.host.lower()
    return (request.scheme, host, request.port) == (endpoint.scheme, endpoint.host.rstrip("."), endpoint.port)


def endpoint_of(seen: Seen, binding: Mapping[str, Any]) -> str | None:
    """Where the gateway leads, as far as it is known: the GatewayConfig says it, else the devbox's status."""
    config = seen.configs.get(where(binding["gatewayRef"], seen.devbox["metadata"]["namespace"]), Missing.ABSENT)
    if not isinstance(config, Missing):
        return str(config["spec"]["endpoint"])
    told = _told(seen.devbox, binding["name"]).get("endpoint")
    return str(told) if told else None


def _told(devbox: Object, name: str) -> Mapping[str, Any]:
    gateways = (devbox.get("status") or {}).get("gateways") or []
    return next((each for each in gateways if each.get("name") == name), {})


def _own_hosts(devbox: Object) -> set[str]:
    """The gateway's own, as the devbox's status has it."""
    gateways = (devbox.get("status") or {}).get("gateways") or []
    return {str(each.get("url", "")).removeprefix("https://").rstrip("/").lower() for each in gateways} - {""}


def _whole_devbox(devbox: Object) -> Refusal | None:
    """Why it gets nothing, whatever it asks for."""
    if "deletionTimestamp" in devbox["metadata"]:
        return Refusal.POD_GONE
    if (devbox.get("status") or {}).get("phase") in _FINISHED:
        return Refusal.POD_FINISHED
    confined = condition(devbox, "EgressConfined")
    if confined.get("status") == "False" and confined.get("reason") == "ForeignPolicy":
        return Refusal.DEVBOX_NOT_CONFINED
    return None


def _state(devbox: Object) -> str:
    if "deletionTimestamp" in devbox["metadata"]:
        return "the devbox is being deleted"
    if (devbox.get("status") or {}).get("phase") in _FINISHED:
        return f"the devbox's phase is {devbox['status']['phase']}"
    return f"EgressConfined=False, ForeignPolicy: {condition(devbox, 'EgressConfined').get('message', '')}"


def _notes(devbox: Object) -> tuple[str, ...]:
    notes = []
    phase = (devbox.get("status") or {}).get("phase") or "Pending"
    if phase != "Running":
        ready = condition(devbox, "Ready")
        why = f", {ready['reason']}: {ready['message']}" if ready else ""
        notes.append(f"the devbox is not running ({phase}{why}); this is what would be said if it were")
    restart = condition(devbox, "RestartRequired")
    if restart.get("status") == "True":
        notes.append(f"the running pod is older than the spec, and this is what holds after a restart: {restart['message']}")
    return tuple(notes)
