"""The devbox's pod: what it must never have, and what the environment holds."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from devbox_api import names
from devbox_operator.attach import init, meshes
from devbox_operator.devbox import pod
from devbox_operator.devbox.environment import environment
from devbox_operator.devbox.incarnation import pod_name
from devbox_operator.seen.claims import claim_name
from devbox_operator.settings import Devboxes, EgressSettings, Image, Settings, Size

IPS = ("10.96.0.9", "fd00::9")
SETTINGS = Settings(release_namespace="rel", credentials_namespace="rel-credentials", image=Image(reference="r.example/gw:1"))
GATEWAYS = [
    {
        "name": "ANTHROPIC",
        "gatewayRef": {"name": "anthropic"},
        "aliases": {"token": ["ANTHROPIC_API_KEY"], "url": ["ANTHROPIC_BASE_URL"]},
    },
    {"name": "OPENAI", "gatewayRef": {"name": "openai", "namespace": "shared"}},
]


def made(devbox: Any, incarnation: int = 1, **spec: Any) -> dict[str, Any]:
    return pod.pod(devbox(spec={"gateways": GATEWAYS, **spec}), incarnation, SETTINGS, IPS)


def test_names_are_stable_differ_by_incarnation_and_fit(devbox: Any) -> None:
    box = devbox(name="a" * 52).box
    assert pod_name(box, 1) == pod_name(box, 1)
    assert len({pod_name(box, number) for number in range(50)}) == 50
    assert len(pod_name(box, 1)) == 63


def test_restricted_pod_security_by_construction(devbox: Any) -> None:
    spec = made(devbox)["spec"]
    (container,) = spec["containers"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == "devbox-agent"
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["fsGroup"]) == (1000, 1000)
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers", "nodeName"} & set(spec)
    assert {kind for volume in spec["volumes"] for kind in volume if kind != "name"} == {"emptyDir", "secret", "configMap"}
    assert spec["schedulingGates"] == [{"name": names.SCHEDULING_GATE}]


def test_no_dns_and_the_gateways_name_by_the_hosts_file(devbox: Any) -> None:
    spec = made(devbox)["spec"]
    assert spec["dnsPolicy"] == "None"
    assert spec["dnsConfig"]["nameservers"] == ["127.0.0.1"]
    assert spec["hostAliases"] == [{"ip": ip, "hostnames": ["gateway.rel.svc"]} for ip in IPS]


def test_the_environment_holds_references_to_tokens_and_the_address(devbox: Any) -> None:
    body = made(devbox, env=[{"name": "LOG_LEVEL", "value": "debug"}])
    name = body["metadata"]["name"]
    found = {item["name"]: item for item in body["spec"]["containers"][0]["env"]}
    for variable, key in (("ANTHROPIC", "ANTHROPIC"), ("ANTHROPIC_API_KEY", "ANTHROPIC"), ("OPENAI", "OPENAI")):
        assert found[variable]["valueFrom"] == {"secretKeyRef": {"name": name, "key": key}}
    for variable in ("ANTHROPIC_URL", "ANTHROPIC_BASE_URL", "OPENAI_URL"):
        assert found[variable]["value"] == "https://gateway.rel.svc"
    for variable in names.CA_VARIABLES:
        assert found[variable]["value"] == "/run/devbox-gateway/ca/ca-bundle.crt"
    assert found["HOME"]["value"] == "/home/devbox"
    assert found["LOG_LEVEL"]["value"] == "debug"
    assert len(found) == len(body["spec"]["containers"][0]["env"]), "no variable twice"


def test_every_devbox_has_the_way_out(devbox: Any) -> None:
    """With an EgressPolicy or without: a running pod can't get a new environment, and the policy is live."""
    for body in (made(devbox), made(devbox, egressPolicyRef={"name": "web"})):
        found = {item["name"]: item for item in body["spec"]["containers"][0]["env"]}
        for variable in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
            key = {"name": body["metadata"]["name"], "key": "HTTPS_PROXY"}
            assert found[variable]["valueFrom"] == {"secretKeyRef": key}, "the token is in the Secret alone"
        assert found["NODE_USE_ENV_PROXY"]["value"] == "1"


def test_the_init_container_is_given_nothing(devbox: Any) -> None:
    (container,) = made(devbox)["spec"]["initContainers"]
    assert (container["name"], container["image"], container["command"]) == ("devbox-init", "r.example/gw:1", ["devbox-init"])
    assert container["args"] == ["--gateway=gateway.rel.svc", "--data-port=443", "--canary-port=8479", "--seconds=30"]
    assert not {"env", "envFrom", "volumeMounts", "lifecycle"} & set(container)
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def test_another_release_is_news_for_pods_that_wait_and_for_no_other(devbox: Any) -> None:
    """Else every upgrade would ask every devbox for a restart."""
    newer = SETTINGS.model_copy(
        update={"image": Image(reference="r.example/gw:2"), "egress": EgressSettings(require_enforcement=False)}
    )
    before, after = (pod.pod(devbox(), 1, one, IPS)["metadata"]["annotations"] for one in (SETTINGS, newer))
    assert before[names.SPEC_HASH_ANNOTATION] == after[names.SPEC_HASH_ANNOTATION]
    assert before[names.INIT_HASH_ANNOTATION] != after[names.INIT_HASH_ANNOTATION] == init.digest(newer)
    assert "--start-anyway" in init.container(newer)["args"]


def test_pull_secrets_are_the_devboxs_and_the_releases(devbox: Any) -> None:
    settings = SETTINGS.model_copy(update={"image": Image(reference="r.example/gw:1", pull_secrets=("both", "release"))})
    view = devbox(spec={"imagePullSecrets": [{"name": "own"}, {"name": "both"}]})
    found = pod.pod(view, 1, settings, IPS)["spec"]["imagePullSecrets"]
    assert [secret["name"] for secret in found] == ["own", "both", "release"]
    assert (
        pod.spec_hash(view, SETTINGS, IPS)
        == pod.pod(view, 1, SETTINGS, IPS)["metadata"]["annotations"][names.SPEC_HASH_ANNOTATION]
    )


def test_the_token_secret_is_named_as_the_pod_and_mounted_whole(devbox: Any) -> None:
    body = made(devbox)
    volumes = {volume["name"]: volume for volume in body["spec"]["volumes"]}
    assert volumes["devbox-gateway-tokens"]["secret"]["secretName"] == body["metadata"]["name"]
    mounts = {mount["mountPath"]: mount for mount in body["spec"]["containers"][0]["volumeMounts"]}
    assert mounts["/run/devbox-gateway/tokens"]["readOnly"] is True
    assert mounts["/run/devbox-gateway/ca"]["readOnly"] is True


def test_the_users_fields_arrive(devbox: Any) -> None:
    body = made(
        devbox,
        command=["sleep"],
        args=[],
        workingDir="/w",
        imagePullPolicy="Never",
        resources={"limits": {"memory": "1Gi", "cpu": 1}},
        runAsUser=7,
        fsGroup=8,
        runtimeClassName="gvisor",
        nodeSelector={"pool": "agents"},
        tolerations=[{"key": "k", "operator": "Exists", "tolerationSeconds": 3}],
        imagePullSecrets=[{"name": "registry"}],
        restartPolicy="Never",
        terminationGracePeriodSeconds=5,
        podMetadata={"labels": {"team": "a"}, "annotations": {"note": "x"}},
        volumes=[
            {"name": "e", "mountPath": "/e", "emptyDir": {"sizeLimit": "1Gi"}},
            {"name": "c", "mountPath": "/c", "configMap": {"name": "conf"}},
            {"name": "p", "mountPath": "/p", "readOnly": True, "persistentVolumeClaim": {"claimName": "data"}},
        ],
    )
    spec, (container,) = body["spec"], body["spec"]["containers"]
    assert (container["command"], container["args"], container["workingDir"]) == (["sleep"], [], "/w")
    assert container["imagePullPolicy"] == "Never"
    assert container["resources"] == {"limits": {"memory": "1Gi", "cpu": 1}}
    assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["fsGroup"]) == (7, 8)
    assert (spec["runtimeClassName"], spec["nodeSelector"]) == ("gvisor", {"pool": "agents"})
    assert spec["tolerations"] == [{"key": "k", "operator": "Exists", "tolerationSeconds": 3}]
    assert (spec["imagePullSecrets"], spec["restartPolicy"]) == ([{"name": "registry"}], "Never")
    assert spec["terminationGracePeriodSeconds"] == 5
    assert body["metadata"]["labels"]["team"] == "a"
    assert body["metadata"]["annotations"]["note"] == "x"
    assert spec["volumes"][3:] == [
        {"name": "e", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "c", "configMap": {"name": "conf"}},
        {"name": "p", "persistentVolumeClaim": {"claimName": "data", "readOnly": True}},
    ]
    assert container["volumeMounts"][3:][2] == {"name": "p", "mountPath": "/p", "readOnly": True}


@pytest.mark.parametrize(
    ("change", "ips"),
    [
        ({"image": "img:2"}, IPS),
        ({"gateways": [*GATEWAYS, {"name": "NEW", "gatewayRef": {"name": "n"}}]}, IPS),
        ({"podMetadata": {"labels": {"x": "y"}}}, IPS),
        ({}, ("10.96.0.10",)),
    ],
    ids=["image", "a new name", "labels", "the gateway's address"],
)
def test_what_a_running_pod_can_not_take_up_changes_the_hash(devbox: Any, change: dict[str, Any], ips: tuple[str, ...]) -> None:
    before = pod.spec_hash(devbox(spec={"gateways": GATEWAYS}), SETTINGS, IPS)
    assert pod.spec_hash(devbox(spec={"gateways": GATEWAYS, **change}), SETTINGS, ips) != before


def test_every_field_that_changes_the_hash_is_named(devbox: Any) -> None:
    before = pod.spec_fields(devbox(spec={"gateways": GATEWAYS}), SETTINGS, IPS)
    more = [*GATEWAYS, {"name": "NEW", "gatewayRef": {"name": "n"}}]
    after = pod.spec_fields(
        devbox(spec={"gateways": more, "image": "r.example/other:2", "workingDir": "/w"}), SETTINGS, ("10.96.0.10",)
    )
    changed = {field for field in before.keys() | after.keys() if before.get(field) != after.get(field)}
    assert changed == {"spec.gateways", "spec.image", "spec.workingDir", "the gateway's address"}
    other = [{**GATEWAYS[0], "gatewayRef": {"name": "b"}, "secretRef": {"name": "s"}}, GATEWAYS[1]]
    assert pod.spec_fields(devbox(spec={"gateways": other, "egressPolicyRef": {"name": "web"}}), SETTINGS, IPS) == before


def test_another_secret_or_gateway_behind_a_name_needs_no_restart(devbox: Any) -> None:
    before = pod.spec_hash(devbox(spec={"gateways": GATEWAYS}), SETTINGS, IPS)
    other = [{**GATEWAYS[0], "gatewayRef": {"name": "b"}, "secretRef": {"name": "s"}}, GATEWAYS[1]]
    assert pod.spec_hash(devbox(spec={"gateways": other}), SETTINGS, IPS) == before
    assert pod.spec_hash(devbox(spec={"gateways": GATEWAYS}, annotations={"x": "y"}), SETTINGS, IPS) == before


def with_default(image: str) -> Settings:
    return SETTINGS.model_copy(update={"devboxes": Devboxes(default_image=image)})


def test_a_devbox_without_an_image_has_the_releases_and_a_command_that_stays(devbox: Any) -> None:
    settings = with_default("r.example/devbox:1")

    def container(**spec: Any) -> dict[str, Any]:
        made: dict[str, Any] = pod.pod(devbox(spec={"image": None, **spec}), 1, settings, IPS)["spec"]["containers"][0]
        return made

    assert (container()["image"], container()["command"]) == ("r.example/devbox:1", list(names.STAY))
    assert container(command=["agent"])["command"] == ["agent"]
    assert "command" not in container(args=["--serve"]), "arguments are for the image's own command"
    assert container(image="own:1")["image"] == "own:1"
    assert "command" not in container(image="own:1"), "nor is one of the Devbox's own image known"


def test_another_default_image_asks_for_a_restart_of_those_that_have_it(devbox: Any) -> None:
    old, new, none = with_default("r.example/devbox:1"), with_default("r.example/devbox:2"), with_default("")
    view, own = devbox(spec={"image": None}), devbox(spec={"image": "r.example/devbox:1", "command": list(names.STAY)})
    assert pod.spec_hash(view, old, IPS) != pod.spec_hash(view, new, IPS)
    before, after = pod.spec_fields(view, old, IPS), pod.spec_fields(view, new, IPS)
    assert {field for field in before if before[field] != after[field]} == {"the chart's default image"}
    assert len({pod.spec_hash(own, settings, IPS) for settings in (old, new, none)}) == 1
    assert pod.spec_hash(own, new, IPS) == pod.spec_hash(view, old, IPS), "what runs is the same"
    assert pod.spec_fields(own, old, IPS) == pod.spec_fields(own, none, IPS)


def with_size(**limits: str | int) -> Settings:
    return SETTINGS.model_copy(update={"devboxes": Devboxes(sizes={"SMALL": Size(requests={"cpu": "1m"}, limits=limits)})})


@pytest.mark.row("S23")
def test_a_size_is_the_containers_resources_and_another_one_asks_for_a_restart(devbox: Any) -> None:
    old, new = with_size(cpu=1, memory="1Gi"), with_size(cpu=2, memory="1Gi")
    view, own = devbox(spec={"resourceSize": "SMALL"}), devbox()
    amounts = {"requests": {"cpu": "1m"}, "limits": {"cpu": 1, "memory": "1Gi"}}
    assert pod.pod(view, 1, old, IPS)["spec"]["containers"][0]["resources"] == amounts
    written = devbox(spec={"resources": amounts})
    assert pod.spec_hash(view, old, IPS) == pod.spec_hash(written, old, IPS), "what runs is the same"
    assert pod.spec_hash(view, old, IPS) != pod.spec_hash(view, new, IPS)
    before, after = pod.spec_fields(view, old, IPS), pod.spec_fields(view, new, IPS)
    assert {field for field in before if before[field] != after[field]} == {"the chart's devboxes.sizes"}
    assert pod.pod(own, 1, old, IPS) == pod.pod(own, 1, SETTINGS, IPS), "it is nobody else's concern"


def test_what_the_agent_may_read_comes_from_its_own_token_secret(devbox: Any) -> None:
    entries = [{"name": "PASSWORD", "secretRef": {"name": "settings", "key": "p"}}]
    body = made(devbox, secretEnv=entries)
    found = {item["name"]: item for item in body["spec"]["containers"][0]["env"]}
    reference = {"name": body["metadata"]["name"], "key": "secret-env.PASSWORD"}
    assert found["PASSWORD"] == {"name": "PASSWORD", "valueFrom": {"secretKeyRef": reference}}
    assert "settings" not in str(body)
    other = [{"name": "PASSWORD", "secretRef": {"name": "others"}}]
    views = [devbox(spec={"secretEnv": chosen}) for chosen in ([], entries, other)]
    none, one, another = (pod.spec_hash(view, SETTINGS, IPS) for view in views)
    assert none != one == another, "another Secret behind a name is another value, if anything"
    fields = [pod.spec_fields(view, SETTINGS, IPS) for view in views]
    assert "spec.secretEnv" not in fields[0]
    assert fields[1] == fields[2] != fields[0]


OLD: dict[str, Any] = {
    "image": "img:1",
    "gateways": [
        {
            "name": "ANTHROPIC",
            "gatewayRef": {"name": "anthropic"},
            "aliases": {"token": ["ANTHROPIC_API_KEY"], "url": ["ANTHROPIC_BASE_URL"]},
        }
    ],
    "env": [{"name": "A", "value": "b"}],
    "terminationGracePeriodSeconds": 30,  # (written by the API server, by the CRD of then)
    "volumes": [
        {"name": "w", "mountPath": "/workspace", "emptyDir": {}},
        {"name": "p", "mountPath": "/p", "persistentVolumeClaim": {"claimName": "data"}},
    ],
}
"""A Devbox as the release 0.1.1 knew them."""


@pytest.mark.parametrize(
    ("more", "hashed"),
    [
        ({}, "74df8565a44420ad183c7c60d862ef05"),
        ({"env": [], "volumes": [], "gateways": []}, "3021d25bd52a66425a127c45db77251f"),
        ({"secretEnv": [{"name": "PASSWORD", "secretRef": {"name": "settings"}}]}, "2022411dd591393980e60a69c1006e43"),
        ({"workspace": {"size": "1Gi", "home": True}}, "dc5494649d030872d8e2e61468cc07b2"),
        (
            {"codeMounts": [{"name": "app", "repository": "https://github.com/org/app", "installCommand": "make"}]},
            "77444bec218d366bf04f04f4f873f30d",
        ),
        ({"launchCommands": ["make"], "command": ["sleep", "9"]}, "4dc0894f1ae12bf03456d33a9cfcc7c7"),
    ],
    ids=["0.1.1", "little", "secretEnv", "workspace", "codeMounts", "launchCommands"],
)
def test_a_spec_that_says_nothing_new_has_the_hash_that_it_had_before(devbox: Any, more: dict[str, Any], hashed: str) -> None:
    """Whatever else devboxes are given today: an upgrade asks no devbox that runs for a restart, and replaces none that waits."""
    view = devbox(spec={**OLD, **more})
    view = replace(view, box=view.box.model_copy(update={"uid": "uid-1"}))
    annotations = pod.pod(view, 2, SETTINGS, IPS[:1])["metadata"]["annotations"]
    assert annotations[names.SPEC_HASH_ANNOTATION] == hashed
    if not more:
        fields = hashlib.sha256(annotations[names.SPEC_FIELDS_ANNOTATION].encode()).hexdigest()
        assert fields == "0a9adc9c32a727930a5086f6eb192640f99cec5d21217be29e41841218eb7978"


def test_kubectl_means_the_agents_container(devbox: Any) -> None:
    assert made(devbox)["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] == "devbox"


def test_meshes_are_told_to_leave_the_pod_alone_whatever_its_devbox_says(devbox: Any) -> None:
    wished = {"labels": {"istio.io/dataplane-mode": "ambient"}, "annotations": {"consul.hashicorp.com/connect-inject": "true"}}
    metadata = made(devbox, podMetadata=wished)["metadata"]
    assert metadata["labels"].items() >= meshes.LABELS.items()
    assert metadata["annotations"].items() >= meshes.ANNOTATIONS.items()
    assert metadata["labels"]["istio.io/dataplane-mode"] == "none"


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [
        ({}, 4),
        ({"command": ["python3", "agent.py"]}, 4),
        ({"command": ["sleep", "infinity"]}, 1),
        ({"command": ["/usr/bin/tail", "-f", "/dev/null"]}, 1),
        ({"command": ["sleep", "infinity"], "launchCommands": ["npm ci"]}, 1),
        ({"command": ["sh", "-c", "sleep infinity"]}, 4),
        ({"command": []}, 4),
        ({"image": None}, 4),
        ({"command": ["sleep", "infinity"], "terminationGracePeriodSeconds": 30}, 30),
        ({"command": ["python3", "agent.py"], "terminationGracePeriodSeconds": 60}, 60),
    ],
)
def test_how_long_a_command_has_to_end(devbox: Any, spec: dict[str, Any], seconds: int) -> None:
    """What hears no signal is not waited for; what the author wrote counts."""
    view = devbox(spec=spec)
    assert pod.pod(view, 1, SETTINGS, IPS)["spec"]["terminationGracePeriodSeconds"] == seconds


@pytest.mark.row("S23")
def test_a_workspace_is_one_claim_one_mount_and_home_where_it_is_wished_for(devbox: Any) -> None:
    view = devbox(spec={"workspace": {"size": "1Gi", "path": "/w"}})
    spec = pod.pod(view, 1, SETTINGS, IPS)["spec"]
    (container,) = spec["containers"]
    claim = {"claimName": claim_name(view.box)}
    assert spec["volumes"][3:] == [{"name": "devbox-gateway-workspace", "persistentVolumeClaim": claim}]
    assert container["volumeMounts"][3:] == [{"name": "devbox-gateway-workspace", "mountPath": "/w"}]
    (first,) = pod.pod(view, 1, SETTINGS, IPS)["spec"]["initContainers"]
    assert first["volumeMounts"] == [{"name": "devbox-gateway-workspace", "mountPath": "/run/devbox-gateway/workspace"}]
    assert first["args"][-1] == "--workspace=/run/devbox-gateway/workspace"
    homes = [
        next(one["value"] for one in environment(devbox(spec={"workspace": work}).box.spec, "", "rel") if one["name"] == "HOME")
        for work in ({"size": "1Gi"}, {"size": "1Gi", "home": True}, {"size": "1Gi", "home": True, "path": "/w"})
    ]
    assert homes == ["/home/devbox", "/workspace", "/w"]


@pytest.mark.parametrize(
    ("change", "restart"),
    [
        ({"size": "2Gi"}, False),
        ({"retain": "Retain"}, False),
        ({"path": "/w"}, True),
        ({"home": True}, True),
    ],
    ids=str,
)
def test_what_of_a_workspace_is_live(devbox: Any, change: dict[str, Any], restart: bool) -> None:
    views = [devbox(spec={"workspace": {"size": "1Gi", **more}}) for more in ({}, change)]
    assert len({pod.spec_hash(view, SETTINGS, IPS) for view in views}) == 1 + restart
    before, after = (pod.spec_fields(view, SETTINGS, IPS) for view in views)
    assert {field for field in before if before[field] != after[field]} == ({"spec.workspace"} if restart else set())
