"""The chart's ConfigMaps are what the two programs read: loaded with their own settings models."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from devbox_cluster.paths import bin_dir
from devbox_common.settings import load
from devbox_operator.settings import Image
from devbox_operator.settings import Settings as OperatorSettings
from devbox_proxy.settings import Settings as ProxySettings

CHART = Path(__file__).resolve().parents[3] / "charts" / "devbox-gateway"
OPERATORS = ("foreignPolicies", "trustedPolicies", "requireEnforcement", "enforcementSeconds", "permittedCIDRs")
"""Of `egress`: the operator's; the gateway has the others, and permittedCIDRs."""
PEM = "-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----\n"
SIZES: dict[str, Any] = {
    "SMALL": {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"cpu": 1, "memory": "1.5Gi"}},
    "gpu-1": {"requests": {}, "limits": {"nvidia.com/gpu": 1}},
    # (Of the chart's own, these are taken away.)
    **dict.fromkeys(("X_SMALL", "MEDIUM", "LARGE", "X_LARGE", "XX_LARGE")),
}
EVERYTHING: dict[str, Any] = {
    "image": {
        "repository": "registry.example/devbox-gateway",
        "pullSecrets": ["registry"],
        "mirrors": ["mirror.corp.example/devbox-gateway"],
    },
    "watchNamespaces": ["team-a", "team-b"],
    "rbac": {"sourceSecrets": "Named"},
    "clusterCIDRs": ["34.118.224.0/20", "2600:1f14:1::/56"],
    "floor": {"extraCIDRs": ["203.0.113.10/32", "2a00:1::/64"]},
    "nat64Prefixes": ["64:ff9b:1::/96"],
    "upstreams": {
        "allowedCIDRs": ["10.20.0.0/16", "fd00::/8"],
        "allowedHosts": ["models.corp.example", "*.internal.example"],
        "addressOverrides": {"api.anthropic.com": "10.96.1.2:443"},
        "caBundle": PEM,
    },
    "egress": {
        "permittedCIDRs": ["10.30.0.0/16"],
        "addressOverrides": {"github.com": "10.96.1.3:443"},
        "allowECH": True,
        "allowNoSNI": True,
        "tunnelsPerDevbox": 3,
        "tunnels": 30,
        "headBytes": 8192,
        "headSeconds": 3,
        "connectSeconds": 4,
        "helloSeconds": 5,
        "idleSeconds": 6,
        "foreignPolicies": "Warn",
        "trustedPolicies": ["dns"],
        "requireEnforcement": False,
        "enforcementSeconds": 5,
    },
    "identity": {
        "reviewSeconds": 60,
        "notLiveSeconds": 5,
        "outageSeconds": 100,
        "waitSeconds": 2,
        "reviewsPerSecond": 50,
        "spareReviewsPerSecond": 5,
        "reviewWaitSeconds": 20,
        "warmSeconds": 10,
    },
    "timeouts": {
        "connectSeconds": 1,
        "firstByteSeconds": 20,
        "idleSeconds": 30,
        "websocketIdleSeconds": 60,
        "restSeconds": 40,
        "goneSeconds": 50,
    },
    "audit": {"onOverflow": "Drop", "queue": 500},
    "tokens": {"expirationSeconds": 3600, "renewFraction": 0.5},
    "certificates": {"leafDays": 30},
    "devboxes": {
        "extraCABundle": PEM,
        "defaultImage": "registry.example/devbox:1",
        "gitImage": "registry.example/git:1",
        "sizes": SIZES,
    },
    "operator": {
        "workers": 4,
        "resyncSeconds": 60,
        "lease": {"durationSeconds": 9, "renewSeconds": 3},
        "keeping": {"forbiddenSeconds": 60, "invalidSeconds": 300, "staleSeconds": 200, "lostNodeSeconds": 90},
    },
    "gateway": {"drainSeconds": 3, "shutdownSeconds": 30},
}


def files(values: dict[str, Any], folder: Path) -> tuple[OperatorSettings, ProxySettings]:
    """Both settings files, read as the programs read them."""
    program = bin_dir() / "helm"
    assert program.exists(), "helm is not there; run: make tools"
    command = [str(program), "template", "devbox-gateway", str(CHART), "--namespace", "gw", "--values", "-"]
    done = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    for each in yaml.safe_load_all(done.stdout):
        if each and each["kind"] == "ConfigMap":
            for name, text in each["data"].items():
                (folder / name).write_text(text, encoding="utf-8")
    return load(OperatorSettings, folder / "operator.yaml"), load(ProxySettings, folder / "proxy.yaml")


def test_defaults_are_the_programs_own(tmp_path: Path) -> None:
    operator, proxy = files({"image": {"repository": "registry.example/devbox-gateway"}}, tmp_path)
    image = Image(reference="registry.example/devbox-gateway:0.1.1")
    # (Sizes are the chart's alone.)
    assert set(operator.devboxes.sizes) == {"X_SMALL", "SMALL", "MEDIUM", "LARGE", "X_LARGE", "XX_LARGE"}
    operator = operator.model_copy(update={"devboxes": operator.devboxes.model_copy(update={"sizes": {}})})
    assert operator == OperatorSettings(release_namespace="gw", credentials_namespace="gw-credentials", image=image)
    assert proxy == ProxySettings(
        credentials_namespace="gw-credentials",
        public_url="https://gateway.gw.svc",
        operator_user="system:serviceaccount:gw:devbox-operator",
    )


def test_every_value_arrives(tmp_path: Path) -> None:
    operator, proxy = files(EVERYTHING, tmp_path)
    assert operator.model_dump(mode="json", by_alias=True) == {
        "releaseNamespace": "gw",
        "credentialsNamespace": "gw-credentials",
        "serviceName": "gateway",
        "watchNamespaces": ["team-a", "team-b"],
        "clusterCIDRs": EVERYTHING["clusterCIDRs"],
        "floor": EVERYTHING["floor"],
        "nat64Prefixes": EVERYTHING["nat64Prefixes"],
        "tokens": {"expirationSeconds": 3600, "renewFraction": 0.5},
        "certificates": {"leafDays": 30},
        "upstreams": {key: value for key, value in EVERYTHING["upstreams"].items() if key != "caBundle"},
        "caBundle": {"extraFile": "/etc/devbox-gateway/extra-ca/ca.crt"},
        "activity": {"tokenFile": "/run/devbox-gateway/activity/token"},
        "sourceSecrets": "Named",
        "image": {
            "reference": "registry.example/devbox-gateway:0.1.1",
            "pullPolicy": "IfNotPresent",
            "pullSecrets": ["registry"],
            "mirrors": ["mirror.corp.example/devbox-gateway"],
        },
        "devboxes": {
            "defaultImage": "registry.example/devbox:1",
            "gitImage": "registry.example/git:1",
            "sizes": {name: size for name, size in SIZES.items() if size},
        },
        "egress": {key: EVERYTHING["egress"][key] for key in OPERATORS},
        "lease": {"durationSeconds": 9.0, "renewSeconds": 3.0},
        "keeping": {"forbiddenSeconds": 60.0, "invalidSeconds": 300.0, "staleSeconds": 200.0, "lostNodeSeconds": 90.0},
        "adminPort": 8080,
        "resyncSeconds": 60.0,
        "workers": 4,
    }
    got = proxy.model_dump(mode="json", by_alias=True)
    assert {
        key: got[key] for key in ("watchNamespaces", "identity", "timeouts", "audit", "drainSeconds", "shutdownSeconds")
    } == {
        "watchNamespaces": ["team-a", "team-b"],
        "identity": EVERYTHING["identity"],
        "timeouts": EVERYTHING["timeouts"],
        "audit": EVERYTHING["audit"],
        "drainSeconds": 3,
        "shutdownSeconds": 30,
    }
    assert got["egress"] == {
        key: value for key, value in EVERYTHING["egress"].items() if key not in OPERATORS or key == "permittedCIDRs"
    }
    assert {key: got[key] for key in ("floor", "nat64Prefixes")} == {key: EVERYTHING[key] for key in ("floor", "nat64Prefixes")}
    assert got["upstreams"] == {**EVERYTHING["upstreams"], "caBundle": "/etc/devbox-gateway/upstream-ca/ca.crt"}


@pytest.mark.parametrize("folder", ["operator", "proxy"])
def test_the_models_stay_in_step_with_the_chart(folder: str, tmp_path: Path) -> None:
    """A setting that a program gains has to come from the chart, or be listed here as one that has no need to."""
    files(EVERYTHING, tmp_path)
    written = yaml.safe_load((tmp_path / f"{folder}.yaml").read_text(encoding="utf-8"))
    model = OperatorSettings if folder == "operator" else ProxySettings
    known = {field.alias or name for name, field in model.model_fields.items()}
    assert known - set(written) == ({"adminPort"} if folder == "operator" else set())
