"""Who may do what: the roles that the chart binds, and the admission policies that hold whatever a role allows."""

from collections.abc import Iterator

import pytest

from .rendering import NAMESPACE, Object, one, render


def _rules(objects: list[Object], kinds: set[str], account: str) -> Iterator[tuple[str, str, Object]]:
    """Kind, namespace and rule of every role that is bound to `account`."""
    bound = {
        (each["roleRef"]["kind"], each["metadata"].get("namespace"), each["roleRef"]["name"])
        for each in objects
        if each["kind"] in {"ClusterRoleBinding", "RoleBinding"} and each["subjects"][0]["name"] == account
    }
    for each in objects:
        where = each["metadata"].get("namespace")
        if each["kind"] in kinds and (each["kind"], where, each["metadata"]["name"]) in bound:
            for rule in each["rules"]:
                yield each["kind"], where or "", rule


class TestRights:
    def test_the_gateways_are_three(self, plain: list[Object]) -> None:
        rules = [
            (namespace, rule["resources"], rule["verbs"])
            for _, namespace, rule in _rules(plain, {"ClusterRole", "Role"}, "devbox-gateway")
        ]
        assert rules == [
            ("", ["tokenreviews"], ["create"]),
            ("", ["pods"], ["get", "list", "watch"]),
            (f"{NAMESPACE}-credentials", ["secrets"], ["get", "list", "watch"]),
        ]

    def test_watched_namespaces_leave_the_cluster_four_reads_and_the_token_review(self) -> None:
        objects = render({"watchNamespaces": ["team-a", "team-b"]})
        for account, expected in (
            ("devbox-gateway", [(["tokenreviews"], ["create"])]),
            (
                "devbox-operator",
                [
                    (["namespaces"], ["get", "list", "watch"]),
                    (["nodes"], ["list", "watch"]),
                    (["servicecidrs"], ["list", "watch"]),
                    (["storageclasses"], ["get"]),
                ],
            ),
        ):
            cluster_wide = [(rule["resources"], rule["verbs"]) for _, _, rule in _rules(objects, {"ClusterRole"}, account)]
            assert cluster_wide == expected
            namespaces = {namespace for _, namespace, _ in _rules(objects, {"Role"}, account)}
            assert {"team-a", "team-b"} <= namespaces

    @pytest.mark.parametrize("values", [{}, {"watchNamespaces": ["team-a"]}], ids=["all namespaces", "one namespace"])
    def test_named_source_secrets_are_not_read(self, values: Object) -> None:
        objects = render({**values, "rbac": {"sourceSecrets": "Named"}})
        own = {NAMESPACE, f"{NAMESPACE}-credentials"}
        verbs = {
            verb
            for _, namespace, rule in _rules(objects, {"ClusterRole", "Role"}, "devbox-operator")
            if "secrets" in rule["resources"] and namespace not in own
            for verb in rule["verbs"]
        }
        assert verbs == {"create", "patch"}

    def test_tokens_of_one_service_account(self, plain: list[Object]) -> None:
        rules = [rule for _, _, rule in _rules(plain, {"ClusterRole", "Role"}, "devbox-operator")]
        (tokens,) = (rule for rule in rules if "serviceaccounts/token" in rule["resources"])
        assert tokens["resourceNames"] == ["devbox-agent"]

    def test_nothing_dangerous(self, plain: list[Object]) -> None:
        for account in ("devbox-operator", "devbox-gateway"):
            for _, _, rule in _rules(plain, {"ClusterRole", "Role"}, account):
                assert not {"*", "escalate", "bind", "impersonate"} & {*rule["verbs"], *rule["resources"], *rule["apiGroups"]}
                assert not {"pods/exec", "pods/attach", "pods/portforward", "pods/log", "pods/ephemeralcontainers"} & {
                    *rule["resources"]
                }

    def test_people_edit_devboxes_and_admins_what_opens_them(self, plain: list[Object]) -> None:
        """Whoever may edit a Devbox must not be able to widen what it reaches."""
        writes = {"create", "update", "patch", "delete", "deletecollection"}
        for role, resources, verbs in (
            ("view", ["devboxes", "egresspolicies", "gatewayconfigs"], {"get", "list", "watch"}),
            ("edit", ["devboxes"], writes),
            ("admin", ["egresspolicies", "gatewayconfigs"], writes),
        ):
            each = one(plain, "ClusterRole", f"{NAMESPACE}-devbox-gateway-{role}")
            assert each["metadata"]["labels"][f"rbac.authorization.k8s.io/aggregate-to-{role}"] == "true"
            assert [rule["resources"] for rule in each["rules"]] == [resources]
            assert {*each["rules"][0]["verbs"]} == verbs


def test_two_releases_share_no_cluster_scoped_name() -> None:
    def names(namespace: str) -> set[tuple[str, str]]:
        objects = render({"crds": {"install": False}}, namespace)
        return {
            (each["kind"], each["metadata"]["name"])
            for each in objects
            if each["metadata"].get("namespace") in (None, "default")
        }

    assert not names("first") & names("second")


def test_policies_fail_closed_and_match_narrowly(plain: list[Object]) -> None:
    policies = [each for each in plain if each["kind"] == "ValidatingAdmissionPolicy"]
    assert len(policies) == 18
    for policy in policies:
        binding = one(plain, "ValidatingAdmissionPolicyBinding", policy["metadata"]["name"])
        assert binding["spec"]["validationActions"] == ["Deny"]
        # Those that have Devboxes as parameters must never hold a namespace in Terminating.
        kind = policy["spec"].get("paramKind", {}).get("kind")
        assert policy["spec"]["failurePolicy"] == ("Ignore" if kind == "Devbox" else "Fail")
        assert policy["spec"]["matchConditions"]
        for rule in policy["spec"]["matchConstraints"]["resourceRules"]:
            assert "*" not in rule["resources"] + rule["apiGroups"] + rule["operations"]
