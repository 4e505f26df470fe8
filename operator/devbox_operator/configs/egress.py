"""EgressPolicies: may the gateway lead to their ranges, who uses them; `egress-<UID>` while the policy is there, used or not.

So a devbox that is given another policy finds it in place. An edit is one write, whoever stands under it.
"""

from collections.abc import Iterable

from devbox_api import names
from devbox_api.conditions import Reason
from devbox_api.route import EgressDocument
from devbox_common.ranges import Network
from devbox_operator.configs.reconciler import ConfigReconciler, Verdict
from devbox_operator.documents import endpoints
from devbox_operator.documents import objects as documents
from devbox_operator.kit import paths
from devbox_operator.report.conditions import Finding, bad, good
from devbox_operator.seen.keys import Kind
from devbox_operator.seen.resources import EgressView
from devbox_operator.settings import Settings
from devbox_operator.watch.tools import Tools


class EgressReconciler(ConfigReconciler[EgressView]):
    """Reconciles EgressPolicies."""

    def __init__(self, tools: Tools) -> None:
        users = tools.index.users_of_egress
        super().__init__(tools, Kind.EGRESS, names.EGRESS_TYPE, at=paths.egresspolicies, view=EgressView.of, users=users)

    def _judge(self, view: EgressView) -> Verdict:
        policy, document = view.policy, _document(view)
        wanted = document is not None and not view.deleting
        return Verdict(
            policy,
            self._index.users_of_egress(view.key),
            accepted(document, self._settings, self._observer.ranges()),
            documents.egress(document, self._settings.credentials_namespace) if document and wanted else None,
            # What it says is no news for the Devboxes; another policy is.
            news=policy.uid,
        )


def _document(view: EgressView) -> EgressDocument | None:
    try:
        return documents.egress_document(view.policy)
    except ValueError:
        return None


def accepted(document: EgressDocument | None, settings: Settings, ranges: Iterable[Network]) -> Finding:
    """The condition Accepted. `ranges`: the cluster's own. A range that the gateway does not lead to takes nothing from the rest."""
    if document is None:
        return bad(Reason.INVALID, "spec.allowedCIDRs holds what is no range of addresses; write e.g. 203.0.113.0/24")
    refused = endpoints.refused_ranges(document.cidrs, settings, ranges)
    return bad(Reason.RANGE_NOT_PERMITTED, f"spec.allowedCIDRs: {refused}") if refused else good(Reason.ACCEPTED)
