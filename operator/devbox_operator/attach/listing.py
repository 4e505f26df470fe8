"""What a pod's Route lists: each gateway and the way out, with the current token and the digest of every token that was issued.

Goes in: what is wanted, what is listed, tokens that were just issued. Comes out: what is to be listed. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from devbox_api import names
from devbox_api.route import Binding, EgressBinding
from devbox_common.redacted import Redacted
from devbox_operator.attach import tokens
from devbox_operator.attach.wanted import PodBinding


@dataclass(frozen=True)
class Listing:
    """What the Route lists, with tokens."""

    bindings: tuple[Binding, ...]
    egress: EgressBinding

    @property
    def tokens(self) -> dict[str, str]:
        """Name to current token, that of the forward proxy included."""
        return {binding.name: binding.token for binding in self.bindings} | {names.EGRESS_NAME: self.egress.token}


def listing(
    wanted: Sequence[PodBinding],
    policy: str | None,
    current: Mapping[str, Binding],
    before: EgressBinding | None,
    issued: Mapping[str, Redacted],
    *,
    egress_lacks: str = "",
) -> Listing:
    """`policy`: the document of the EgressPolicy, `egress_lacks`: why there is none; `current` and `before`: what is listed of gateways and
    of the way out; `issued`: new tokens, by name."""
    return Listing(
        tuple(_binding(binding, current.get(binding.name), issued.get(binding.name)) for binding in wanted),
        _egress(policy, before, issued.get(names.EGRESS_NAME), egress_lacks),
    )


def _egress(policy: str | None, current: EgressBinding | None, issued: Redacted | None, lacks: str) -> EgressBinding:
    """What the Route lists of the way out: every pod has its token, whatever the policy of the moment."""
    token = issued.reveal() if issued else ""
    digests = current.digests if current else ()
    return EgressBinding(
        policy=policy,
        lacks=lacks if policy is None else "",
        token=token or (current.token if current else ""),
        digests=tokens.grown(digests, token) if token else digests,
    )


def _binding(wanted: PodBinding, current: Binding | None, issued: Redacted | None) -> Binding:
    """What the Route lists. A binding that may not be used any more (no longer allowed in this namespace, say, while other
    namespaces go on using the same documents) leads nowhere, and keeps its token so that it heals."""
    token = issued.reveal() if issued else ""
    digests = current.digests if current else ()
    before = current if current and (current.gateway, current.credential) in wanted.kept else None
    gateway = wanted.gateway or (before.gateway if before else "")
    return Binding(
        name=wanted.name,
        audience=names.audience(wanted.name),
        gateway=gateway,
        credential=wanted.credential or (before.credential if before else ""),
        lacks="" if gateway else wanted.lacks,
        token=token or (current.token if current else ""),
        digests=tokens.grown(digests, token) if token else digests,
    )
