"""docs/conditions.md, made from the closed set of conditions (devbox_api.conditions).

`make manifests` writes it (generate.py). Goes in: nothing. Comes out: the page. Pure.
"""

from devbox_api.conditions import REASONS, ConditionType, Reason

_HEAD = """\
# Conditions

What `kubectl get dbx,gwc,egp -o wide` and `kubectl describe` say, and what to do about it. This page is made from
`crds/devbox_api/conditions.py` (`make manifests`).

Every kind has **Accepted** (the object is valid), **Ready** (everything it asks for is in place), **Reconciling** (the operator is
at work, or waits for what comes by itself) and **Stalled** (somebody has to change something). While an object is not Ready, Ready
carries the reason and the message of the condition that is in the way; so does Stalled, where it is True.

A GatewayConfig also has **CredentialResolved**, and **Reachable**, which says what gateways found when they last dialled the API, and for
which Ready does not wait; a [Devbox](devbox.md) has **CredentialsResolved**, **TokensIssued**, **PodReady**, **EgressConfined** and
**RestartRequired**, with `codeMounts` **CodeMounted**, and once it was suspended **Suspended**, beside which, while that is True, there
is no Ready. For RestartRequired, False is the good state. **TrustEnding** is there, on both, only when the end of the gateway's
certificate authority is near; **Expiring**, on a Devbox, only when its own end, or rest, is ([time to live](life.md#time-to-live),
[idle](life.md#idle)).

| Reason | On | Meaning | What to do |
|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    return _HEAD + "".join(_row(reason) for reason in Reason)


def _row(reason: Reason) -> str:
    meaning = REASONS[reason]
    types = ", ".join(kind for kind in ConditionType if kind in meaning.types) or "(an Event)"
    return f"| `{reason}` | {types} | {_cell(meaning.sentence)} | {_cell(meaning.advice)} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
