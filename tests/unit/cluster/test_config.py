"""What the components of the local cluster are told about address families."""

import json
from pathlib import Path
from typing import Any

from devbox_cluster import config

PKI = Path("/pki")


def _plugins(*, ipv6: bool) -> dict[str, dict[str, Any]]:
    files = config.files(Path("/state"), Path("/run"), PKI, ipv6=ipv6)
    return {plugin["type"]: plugin for plugin in json.loads(files["cni/10-pods.conflist"])["plugins"]}


def test_without_ipv6_pods_have_none_that_no_policy_would_hold() -> None:
    """The kernel's own addresses on the link: kube-router filters IPv4 alone then."""
    assert _plugins(ipv6=False)["tuning"]["sysctl"] == {"net.ipv6.conf.eth0.disable_ipv6": "1"}
    assert "--enable-ipv6=false" in config.kube_router(PKI, ipv6=False)
    assert f"--service-cluster-ip-range={config.SERVICE_CIDR}" in config.api_server(PKI, ipv6=False)


def test_with_ipv6_every_part_is_told_of_both_families() -> None:
    plugins = _plugins(ipv6=True)
    assert "tuning" not in plugins
    assert list(plugins)[-1] == "source-guard", "it has to see what the others made"
    assert plugins["source-guard"]["table"] in config.SOURCE_GUARD
    ranges = [one["subnet"] for (one,) in plugins["bridge"]["ipam"]["ranges"]]
    assert ranges == [config.NODE_POD_CIDR, config.NODE_POD_CIDR6]
    router = config.kube_router(PKI, ipv6=True)
    assert "--enable-ipv6=true" in router
    assert [word.partition("=")[2] for word in router if word.startswith("--service-cluster-ip-range=")] == [
        config.SERVICE_CIDR,
        config.SERVICE_CIDR6,
    ]
    assert f"--service-cluster-ip-range={config.SERVICE_CIDR},{config.SERVICE_CIDR6}" in config.api_server(PKI, ipv6=True)
    assert f"--cluster-cidr={config.POD_CIDR},{config.POD_CIDR6}" in config.controller_manager(PKI, ipv6=True)
    assert f"--node-ip={config.NODE_ADDRESS},{config.NODE_ADDRESS6}" in config.kubelet(PKI, PKI, PKI, ipv6=True)
