"""What a Route lists for a binding that can't be resolved: it leads nowhere, and keeps its token so that it heals."""

from devbox_api import names
from devbox_api.route import Binding
from devbox_operator.attach import PodBinding, _binding

CURRENT = Binding(
    name="ANTHROPIC",
    audience=names.audience("ANTHROPIC"),
    gateway="gateway-1",
    credential="credential-1",
    token="a.b.c",
    digests=(names.token_digest("a.b.c"),),
)


def test_a_binding_that_is_no_longer_allowed_leads_nowhere() -> None:
    """Other namespaces may go on using the same documents, so the Route must not name them any more."""
    listed = _binding(PodBinding("ANTHROPIC", "", ""), CURRENT, None)
    assert (listed.gateway, listed.credential) == ("", "")
    assert (listed.token, listed.digests) == (CURRENT.token, CURRENT.digests)


def test_a_moved_reference_replaces_both() -> None:
    listed = _binding(PodBinding("ANTHROPIC", "gateway-2", "credential-2"), CURRENT, None)
    assert (listed.gateway, listed.credential) == ("gateway-2", "credential-2")


def test_what_can_not_be_told_now_stays() -> None:
    listed = _binding(PodBinding("ANTHROPIC", "", "", keep=True), CURRENT, None)
    assert (listed.gateway, listed.credential) == ("gateway-1", "credential-1")
