"""What the components of the local cluster are told."""

import json
from pathlib import Path

from devbox_cluster import config


def test_pods_have_no_ipv6_that_no_policy_would_hold() -> None:
    """The kernel's own addresses on the link: kube-router filters IPv4 alone here."""
    files = config.files(Path("/state"), Path("/run"), Path("/pki"))
    plugins = json.loads(files["cni/10-pods.conflist"])["plugins"]
    (tuning,) = (plugin for plugin in plugins if plugin["type"] == "tuning")
    assert tuning["sysctl"] == {"net.ipv6.conf.eth0.disable_ipv6": "1"}
