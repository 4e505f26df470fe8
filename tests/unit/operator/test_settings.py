"""The settings file as the chart writes it, and mistakes in it."""

from pathlib import Path

import pytest

from devbox_common.settings import SettingsError, load
from devbox_operator.release.system import extra_certificates
from devbox_operator.settings import Settings

FILE = """\
releaseNamespace: devbox-gateway-system
credentialsNamespace: devbox-gateway-system-credentials
serviceName: gateway
watchNamespaces: ["a", "b"]
clusterCIDRs: ["2001:db8:1::/56"]
tokens: {expirationSeconds: 3600, renewFraction: 0.5}
certificates: {leafDays: 30}
upstreams:
  allowedCIDRs: ["10.96.152.13/32"]
  allowedHosts: []
  addressOverrides: {"api.anthropic.com": "10.96.152.13:443"}
caBundle: {extraFile: ""}
sourceSecrets: Named
image: {reference: "registry.example/devbox-gateway:1", pullPolicy: IfNotPresent, pullSecrets: []}
egress:
  foreignPolicies: Warn
  trustedPolicies: ["dns"]
  requireEnforcement: true
  enforcementSeconds: 30
  permittedCIDRs: ["10.20.0.0/16"]
lease: {durationSeconds: 15, renewSeconds: 5}
resyncSeconds: 300
workers: 8
"""


def test_the_charts_file(tmp_path: Path) -> None:
    path = tmp_path / "operator.yaml"
    path.write_text(FILE)
    settings = load(Settings, path)
    assert settings.scopes == ("a", "b")
    assert str(settings.upstreams.allowed_cidrs[0]) == "10.96.152.13/32"
    assert [str(network) for network in settings.cluster_cidrs] == ["2001:db8:1::/56"]
    assert (settings.tokens.expiration_seconds, settings.admin_port) == (3600, 8080)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("workers: 0", "workers"),
        ("tokens: {expirationSeconds: 60}", "tokens.expirationSeconds"),
        ("upstreams: {allowedCIDRs: [10.1.2.3/8]}", "not a range of addresses; write e.g. 10.20.0.0/16"),
        ("clusterCIDRs: [2001:db8::1/56]", "clusterCIDRs"),
        ("typo: 1", "typo"),
        ("sourceSecrets: Some", "sourceSecrets"),
        ("image: {pullSecrets: []}", "image.reference"),
        ("egress: {foreignPolicies: Ignore}", "egress.foreignPolicies"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, change: str, message: str) -> None:
    path = tmp_path / "operator.yaml"
    kept = [line for line in FILE.splitlines() if not line.startswith((change.split(":", maxsplit=1)[0], "  "))]
    path.write_text("\n".join([*[line for line in kept if not line.endswith(":")], change]))
    with pytest.raises(SettingsError, match=r"operator\.yaml") as caught:
        load(Settings, path)
    assert message in str(caught.value)


def test_the_extra_bundle_has_to_be_one(tmp_path: Path) -> None:
    assert extra_certificates("") == ""
    with pytest.raises(SettingsError, match=r"caBundle\.extraFile"):
        extra_certificates(str(tmp_path / "missing"))
    (tmp_path / "empty").write_text("nothing")
    with pytest.raises(SettingsError, match="no PEM certificate"):
        extra_certificates(str(tmp_path / "empty"))
