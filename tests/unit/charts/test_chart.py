"""What `helm template` makes of values: settings that the programs can read, restricted pods, rights that are split."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from tests.support.netns import PATIENCE

from devbox_api import names
from devbox_api.podmetadata import HARMLESS, STEERING
from devbox_operator.kit import metrics
from devbox_operator.report.authority import WARNINGS
from devbox_proxy.kit.lookups import SECONDS

from .rendering import CHART, NAMESPACE, Object, helm, one, render

Render = Callable[..., list[Object]]
PEM = "-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----\n"
DIGEST = "sha256:" + "0" * 64


BAD = [
    ({}, "'/image/repository': value must be 'the image to run, e.g. --set image.repository="),
    ({"image": {"repository": "two words"}}, "'/image/repository'"),
    ({"image": {"repository": "a", "digest": "sha256:short"}}, "'/image/digest'"),
    ({"image": {"repository": "a"}, "imge": {}}, "additional properties 'imge' not allowed"),
    ({"image": {"repository": "a"}, "rbac": {"sourceSecrets": "Some"}}, "value must be one of 'All', 'Named'"),
    ({"image": {"repository": "a"}, "audit": {"onOverflow": "Wait"}}, "value must be one of 'Refuse', 'Drop'"),
    ({"image": {"repository": "a"}, "watchNamespaces": ["Team_A"]}, "'/watchNamespaces/0'"),
    ({"image": {"repository": "a"}, "clusterCIDRs": ["2001:db8::1"]}, "'/clusterCIDRs/0'"),
    ({"image": {"repository": "a"}, "clusterCIDRs": "10.0.0.0/8"}, "'/clusterCIDRs': got string, want array"),
    ({"image": {"repository": "a"}, "upstreams": {"allowedCIDRs": ["10.0.0.1"]}}, "'/upstreams/allowedCIDRs/0'"),
    ({"image": {"repository": "a"}, "upstreams": {"allowedHosts": ["*"]}}, "'/upstreams/allowedHosts/0'"),
    (
        {"image": {"repository": "a"}, "upstreams": {"addressOverrides": {"a.example": "b.example"}}},
        "'/upstreams/addressOverrides/a.example'",
    ),
    ({"image": {"repository": "a"}, "upstreams": {"caBundle": "/etc/ca.crt"}}, "'/upstreams/caBundle'"),
    ({"image": {"repository": "a"}, "tokens": {"expirationSeconds": 60}}, "'/tokens/expirationSeconds'"),
    ({"image": {"repository": "a"}, "gateway": {"replicas": "two"}}, "'/gateway/replicas'"),
    (
        {"image": {"repository": "a"}, "service": {"ipFamilyPolicy": "DualStack"}},
        "value must be one of 'SingleStack', 'PreferDualStack', 'RequireDualStack'",
    ),
    ({"image": {"repository": "a"}, "egress": {"foreignPolicies": "Allow"}}, "value must be one of 'Refuse', 'Warn'"),
    ({"image": {"repository": "a"}, "egress": {"permittedCIDRs": ["10.0.0.1"]}}, "'/egress/permittedCIDRs/0'"),
    ({"image": {"repository": "a"}, "devboxes": {"sizes": {"two words": {}}}}, "'two words' does not match"),
    ({"image": {"repository": "a"}, "devboxes": {"sizes": {"S": {"limit": {}}}}}, "'/devboxes/sizes/S'"),
    (
        {"image": {"repository": "a"}, "devboxes": {"sizes": {"S": {"limits": {"cpu": "two"}}}}},
        "'/devboxes/sizes/S/limits/cpu'",
    ),
    ({"image": {"repository": "a"}, "egress": {"requireEnforcement": "no"}}, "'/egress/requireEnforcement'"),
    ({"image": {"repository": "a"}, "gateway": {"replicas": 0}}, "'/gateway/replicas': minimum: got 0, want 1"),
    ({"image": {"repository": "a"}, "operator": {"replicas": -1}}, "'/operator/replicas': minimum: got -1, want 1"),
    (
        {"image": {"repository": "a"}, "gateway": {"resources": {"limits": {"memory": "lots"}}}},
        "'/gateway/resources/limits/memory'",
    ),
    (
        {"image": {"repository": "a"}, "operator": {"resources": {"requests": {"memory": "4GB"}}}},
        "'/operator/resources/requests/memory'",
    ),
    (
        {"image": {"repository": "a"}, "operator": {"resources": {"memory": "1Gi"}}},
        "additional properties 'memory' not allowed",
    ),
    ({"image": {"repository": "a"}, "clusterCIDRs": ["10.0.0.0/33"]}, "'/clusterCIDRs/0'"),
    ({"image": {"repository": "a"}, "clusterCIDRs": ["10.0.0.256/8"]}, "'/clusterCIDRs/0'"),
    ({"image": {"repository": "a"}, "clusterCIDRs": ["fd00::/129"]}, "'/clusterCIDRs/0'"),
    (
        {"image": {"repository": "a"}, "egress": {"addressOverrides": {"a.example": "10.0.0.1:65536"}}},
        "'/egress/addressOverrides/a.example'",
    ),
    ({"image": {"repository": "a"}, "timeouts": {"idleSeconds": -1}}, "'/timeouts/idleSeconds'"),
    ({"image": {"repository": "a"}, "timeouts": {"idleSeconds": "5m"}}, "'/timeouts/idleSeconds': got string, want number"),
    ({"image": {"repository": "a"}, "egress": {"headSeconds": 3600}}, "'/egress/headSeconds'"),
    ({"image": {"repository": "a"}, "podMonitor": {"interval": "0s"}}, "'/podMonitor/interval'"),
    (
        {
            "image": {"repository": "a"},
            "gateway": {"autoscaling": {"enabled": True, "minReplicas": 5, "maxReplicas": 4}},
        },
        "gateway.autoscaling.minReplicas (5) is more than maxReplicas (4)",
    ),
    (
        {"image": {"repository": "a"}, "operator": {"lease": {"durationSeconds": 5, "renewSeconds": 5}}},
        "operator.lease.renewSeconds (5) is to be less than half of durationSeconds (5)",
    ),
]


@pytest.mark.parametrize(("values", "message"), BAD, ids=[message for _, message in BAD])
def test_a_wrong_value_is_named(values: Object, message: str) -> None:
    done = helm(values)
    assert done.returncode != 0
    assert message in done.stderr


def test_a_release_namespace_that_is_too_long_is_named() -> None:
    done = helm({"image": {"repository": "a"}}, "n" * 52)
    assert "install into a namespace with a name of at most 51" in done.stderr


def test_every_value_is_in_the_schema_and_commented() -> None:
    """No default without a type, and no section without a word on what it does."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    text = (CHART / "values.yaml").read_text(encoding="utf-8")

    def check(values: Object, part: Object, path: str) -> None:
        for key, value in values.items():
            assert key in part["properties"], f"{path}{key} is not in values.schema.json"
            inner = part["properties"][key]
            if isinstance(value, dict) and "properties" in inner:
                check(value, inner, f"{path}{key}.")
        assert set(part["properties"]) - set(values) <= {"global"}, f"{path or 'the top'} lacks defaults"

    check(yaml.safe_load(text), schema, "")


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ({"repository": "r.example/a"}, "r.example/a:0.1.1"),
        ({"repository": "r.example/a", "tag": "v2"}, "r.example/a:v2"),
        ({"repository": "r.example/a", "tag": "v2", "digest": DIGEST}, f"r.example/a@{DIGEST}"),
    ],
)
def test_the_image(image: Object, reference: str) -> None:
    objects = render({"image": image})
    for name in ("devbox-operator", "devbox-gateway"):
        assert one(objects, "Deployment", name)["spec"]["template"]["spec"]["containers"][0]["image"] == reference


@pytest.mark.parametrize("name", ["devbox-operator", "devbox-gateway"])
def test_pods_are_restricted_and_spread(plain: list[Object], name: str) -> None:
    deployment = one(plain, "Deployment", name)["spec"]
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    context = container["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert {probe: container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")} == {
        "startup": "/healthz",
        "liveness": "/healthz",
        "readiness": "/readyz",
    }
    assert all(spread["whenUnsatisfiable"] == "ScheduleAnyway" for spread in pod["topologySpreadConstraints"])
    assert one(plain, "PodDisruptionBudget", name)["spec"]["selector"] == deployment["selector"]


@pytest.mark.parametrize("name", ["devbox-gateway", "devbox-operator"])
def test_a_silent_name_server_is_given_up_before_who_waits_for_it_gives_up(plain: list[Object], name: str) -> None:
    pod = one(plain, "Deployment", name)["spec"]["template"]["spec"]
    options = {option["name"]: int(option["value"]) for option in pod["dnsConfig"]["options"]}
    assert options["timeout"] * options["attempts"] < SECONDS
    # A server that never answers for IPv6: glibc waits for it beside the question for IPv4, after it, and on a socket of its own.
    assert options["timeout"] * 3 < SECONDS
    assert f"timeout:{options['timeout']} attempts:{options['attempts']}" == PATIENCE
    assert "dnsPolicy" not in pod
    assert "nameservers" not in pod["dnsConfig"]


@pytest.mark.parametrize("name", ["devbox-gateway", "devbox-operator"])
def test_a_search_list_comes_last(plain: list[Object], name: str) -> None:
    pod = one(plain, "Deployment", name)["spec"]["template"]["spec"]
    assert {"name": "ndots", "value": "1"} in pod["dnsConfig"]["options"]


def test_the_gateway_is_told_its_own_addresses(plain: list[Object]) -> None:
    (container,) = one(plain, "Deployment", "devbox-gateway")["spec"]["template"]["spec"]["containers"]
    sources = {item["name"]: item.get("valueFrom") for item in container["env"]}
    assert sources["POD_IPS"] == {"fieldRef": {"fieldPath": "status.podIPs"}}


def test_the_grace_period_covers_the_drain() -> None:
    spec = one(render({"gateway": {"drainSeconds": 7, "shutdownSeconds": 30}}), "Deployment", "devbox-gateway")["spec"]
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 67


def test_other_settings_make_other_pods() -> None:
    def checksums(values: Object) -> dict[str, str]:
        objects = render(values)
        return {
            name: one(objects, "Deployment", name)["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
            for name in ("devbox-operator", "devbox-gateway")
        }

    before, after = checksums({}), checksums({"timeouts": {"idleSeconds": 60}})
    assert before["devbox-gateway"] != after["devbox-gateway"]
    assert before["devbox-operator"] == after["devbox-operator"]


def test_autoscaling_owns_the_replicas() -> None:
    objects = render({"gateway": {"autoscaling": {"enabled": True, "maxReplicas": 5}}})
    assert "replicas" not in one(objects, "Deployment", "devbox-gateway")["spec"]
    assert one(objects, "HorizontalPodAutoscaler", "devbox-gateway")["spec"]["maxReplicas"] == 5


def test_ca_bundles_are_mounted_where_the_settings_say() -> None:
    objects = render({"upstreams": {"caBundle": PEM}, "devboxes": {"extraCABundle": PEM}})
    for component, program, key, path in (
        ("devbox-gateway", "proxy.yaml", "upstream-ca.crt", "/etc/devbox-gateway/upstream-ca"),
        ("devbox-operator", "operator.yaml", "extra-ca.crt", "/etc/devbox-gateway/extra-ca"),
    ):
        config = one(objects, "ConfigMap", component)["data"]
        assert config[key] == PEM
        settings = yaml.safe_load(config[program])
        named = settings["upstreams"]["caBundle"] if component == "devbox-gateway" else settings["caBundle"]["extraFile"]
        assert named == f"{path}/ca.crt"
        mounts = one(objects, "Deployment", component)["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
        assert path in {mount["mountPath"] for mount in mounts}


GUARDS = (
    "devbox-deny",
    "devbox-networkpolicies",
    "devbox-pods",
    "ephemeral-containers",
    "forced-deletion",
    "forced-deletion-by-eviction",
)
"""Admission policies that a running devbox's confinement stands on."""


def test_what_stays_on_uninstall(plain: list[Object]) -> None:
    kept = {
        (each["kind"], each["metadata"]["name"])
        for each in plain
        if each["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
    }
    assert kept == {
        ("Service", "gateway"),
        ("CustomResourceDefinition", "devboxes.devbox-gateway.io"),
        ("CustomResourceDefinition", "egresspolicies.devbox-gateway.io"),
        ("CustomResourceDefinition", "gatewayconfigs.devbox-gateway.io"),
        *(("ValidatingAdmissionPolicy", f"{NAMESPACE}-{name}") for name in GUARDS),
        *(("ValidatingAdmissionPolicyBinding", f"{NAMESPACE}-{name}") for name in GUARDS),
    }
    labelled = {
        each["metadata"]["name"]
        for each in plain
        if each["metadata"].get("labels", {}).get("devbox-gateway.io/guard") == NAMESPACE
    }
    assert labelled == {f"{NAMESPACE}-{name}" for name in GUARDS}, "the command of docs/install.md finds them"


def test_crds_are_the_generated_ones(plain: list[Object]) -> None:
    for path in (CHART.parents[1] / "crds").glob("*.yaml"):
        crd = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert one(plain, "CustomResourceDefinition", crd["metadata"]["name"])["spec"] == crd["spec"]
    assert not [each for each in render({"crds": {"install": False}}) if each["kind"] == "CustomResourceDefinition"]


def test_nothing_is_a_hook(plain: list[Object]) -> None:
    assert not [each for each in plain if "helm.sh/hook" in each["metadata"].get("annotations", {})]


def test_podmonitors_only_when_asked(plain: list[Object]) -> None:
    assert not [each for each in plain if each["kind"] == "PodMonitor"]
    monitors = [each for each in render({"podMonitor": {"enabled": True}}) if each["kind"] == "PodMonitor"]
    assert {each["metadata"]["name"] for each in monitors} == {"devbox-operator", "devbox-gateway"}


def test_alerts_tell_of_the_authoritys_end_three_times() -> None:
    assert "PrometheusRule" not in {each["kind"] for each in render()}
    (rule,) = [
        each for each in render({"alerts": {"enabled": True, "labels": {"team": "x"}}}) if each["kind"] == "PrometheusRule"
    ]
    assert rule["metadata"]["labels"]["team"] == "x"
    rules = rule["spec"]["groups"][0]["rules"]
    days = [int(one["expr"].rpartition("< ")[2].split()[0]) for one in rules if one["alert"] == "DevboxGatewayAuthorityEnds"]
    assert days == [time.days for time, _ in reversed(WARNINGS)]
    (gauge,) = metrics.CERTIFICATE_END.describe()
    assert all(f'{gauge.name}{{certificate="' in one["expr"] for one in rules)


PROMETHEUS = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}},
    "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
}


@pytest.mark.parametrize("name", ["devbox-gateway", "devbox-operator"])
def test_metrics_are_for_those_that_are_named_and_by_itself_for_nobody(plain: list[Object], name: str) -> None:
    def admin(objects: list[Object]) -> list[Object]:
        spec = one(objects, "NetworkPolicy", name)["spec"]
        assert "Ingress" in spec["policyTypes"]
        return [rule for rule in spec["ingress"] or () if any(port["port"] == "admin" for port in rule["ports"])]

    assert admin(plain) == []
    rules = admin(render({"networkPolicy": {"adminFrom": [PROMETHEUS]}}))
    assert rules == [{"ports": [{"port": "admin", "protocol": "TCP"}], "from": [PROMETHEUS]}]
    # A rule without ports, or with one that is not named, would let in more than it says.
    for rule in one(plain, "NetworkPolicy", name)["spec"]["ingress"] or ():
        assert {port["port"] for port in rule["ports"]} <= {"data", "egress", "canary", "activity"}


def test_the_peer_that_the_documents_name_is_one_that_the_chart_takes() -> None:
    for path in (CHART / "values.yaml", CHART.parents[1] / "docs" / "install.md"):
        text = path.read_text()
        assert "kubernetes.io/metadata.name: monitoring" in text, path
        assert "app.kubernetes.io/name: prometheus" in text, path


def test_the_gateways_egress_is_open_unless_rules_are_given(plain: list[Object]) -> None:
    assert one(plain, "NetworkPolicy", "devbox-gateway")["spec"]["policyTypes"] == ["Ingress"]
    rules = [{"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}]
    spec = one(render({"networkPolicy": {"gatewayEgress": rules}}), "NetworkPolicy", "devbox-gateway")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["egress"] == rules


def test_the_gateway_has_an_address_of_every_family_that_pods_have(plain: list[Object]) -> None:
    """devbox-init tries each; which is the first is the cluster's affair, so that an upgrade does not change it."""
    spec = one(plain, "Service", "gateway")["spec"]
    assert spec["ipFamilyPolicy"] == "PreferDualStack"
    assert "ipFamilies" not in spec
    single = render({"service": {"ipFamilyPolicy": "SingleStack"}})
    assert one(single, "Service", "gateway")["spec"]["ipFamilyPolicy"] == "SingleStack"


def test_the_gateways_ports(plain: list[Object]) -> None:
    """The Service, the pods and their policy: data, forward proxy, canary, and activity for the operator. (The devboxes' own policies leave
    out the last two.)"""
    ports = {port["name"]: port["port"] for port in one(plain, "Service", "gateway")["spec"]["ports"]}
    assert ports == {"data": 443, "egress": 3128, "canary": 8479, "activity": 8480}
    (container,) = one(plain, "Deployment", "devbox-gateway")["spec"]["template"]["spec"]["containers"]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
        "data": 8443,
        "egress": 3128,
        "canary": 8479,
        "admin": 8080,
        "activity": 8480,
    }
    for rule in one(plain, "NetworkPolicy", "devbox-gateway")["spec"]["ingress"]:
        if "from" not in rule:
            assert [port["port"] for port in rule["ports"]] == ["data", "egress", "canary"]


@pytest.mark.row("S23")
@pytest.mark.parametrize("values", [{}, {"networkPolicy": {"adminFrom": [PROMETHEUS]}}])
def test_activity_is_asked_for_by_the_operators_pods_alone_and_by_a_token_for_that_alone(values: dict[str, Any]) -> None:
    objects = render(values)
    rules = one(objects, "NetworkPolicy", "devbox-gateway")["spec"]["ingress"]
    (rule,) = (rule for rule in rules if any(port["port"] in ("activity", 8480) for port in rule["ports"]))
    pods = one(objects, "Deployment", "devbox-operator")["spec"]["template"]
    labels = {"app.kubernetes.io/name": "devbox-gateway", "app.kubernetes.io/component": "operator"}
    assert rule == {
        "ports": [{"port": "activity", "protocol": "TCP"}],
        "from": [{"podSelector": {"matchLabels": labels}}],  # of the release's own namespace
    }
    assert labels.items() <= pods["metadata"]["labels"].items()
    (volume,) = (volume for volume in pods["spec"]["volumes"] if "projected" in volume)
    token = {"audience": names.audience(names.ACTIVITY), "expirationSeconds": 600, "path": "token"}
    assert volume["projected"]["sources"] == [{"serviceAccountToken": token}]
    (container,) = pods["spec"]["containers"]
    (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == volume["name"])
    operator = yaml.safe_load(one(objects, "ConfigMap", "devbox-operator")["data"]["operator.yaml"])
    assert operator["activity"]["tokenFile"] == f"{mount['mountPath']}/token"
    gateway = yaml.safe_load(one(objects, "ConfigMap", "devbox-gateway")["data"]["proxy.yaml"])
    assert gateway["operatorUser"] == f"system:serviceaccount:{NAMESPACE}:{pods['spec']['serviceAccountName']}"


def test_a_pod_is_steered_by_nobody_who_could_not_steer_it_by_a_devbox(plain: list[Object]) -> None:
    """The keys that podMetadata refuses are those that the admission policy keeps people from writing afterwards."""
    policy = one(plain, "ValidatingAdmissionPolicy", f"{NAMESPACE}-devbox-pods")
    (rule,) = (each["expression"] for each in policy["spec"]["validations"] if "matches" in each["expression"])
    assert f"k.matches( '{STEERING}')" in rule
    assert re.findall(r"in \[(.*?)\]", rule) == [", ".join(f"'{key}'" for key in HARMLESS)]
