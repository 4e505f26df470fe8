"""What the components are told: command lines and configuration files, as data.

Pure: goes in folders, comes out text and argument lists. Each setting that a machine without Docker forces says why beside it.
"""

import json
from pathlib import Path
from typing import Any, Final

import yaml

NODE: Final = "node-1"
NODE_ADDRESS: Final = "10.99.0.1"
"""On a bridge of its own: the address exists whatever network the machine has."""
NODE_DEVICE: Final = "dbxgw-node0"
POD_DEVICE: Final = "dbxgw-cni0"
POD_CIDR: Final = "10.244.0.0/16"
NODE_POD_CIDR: Final = "10.244.0.0/24"
SERVICE_CIDR: Final = "10.96.0.0/16"
SERVICE_ADDRESS: Final = "10.96.0.1"
NODE_ADDRESS6: Final = "fd42:99::1"
POD_CIDR6: Final = "fd42:244::/56"
NODE_POD_CIDR6: Final = "fd42:244::/64"
SERVICE_CIDR6: Final = "fd42:96::/112"
"""The same over IPv6 (unique local addresses, RFC 4193): where the kernel has it, the cluster has both."""
DNS_ADDRESS: Final = "10.96.0.10"
API_PORT: Final = 6443
API_SERVER: Final = f"https://{NODE_ADDRESS}:{API_PORT}"
ETCD_PORT: Final = 12379
"""Not 2379, where the machine's own etcd would be."""
ETCD_PEER_PORT: Final = 12380
PORTS: Final = {
    API_PORT: "kube-apiserver",
    ETCD_PORT: "etcd",
    ETCD_PEER_PORT: "etcd",
    10248: "kubelet",
    10249: "kube-proxy",
    10250: "kubelet",
    10256: "kube-proxy",
    10257: "kube-controller-manager",
    10259: "kube-scheduler",
}
"""What must be free before the cluster starts."""
PAUSE_IMAGE: Final = "localhost/pause:1"
CNI_NETWORK: Final = "devbox-gateway"
CNI_PLUGINS: Final = Path("/usr/lib/cni")
"""Where Debian has them."""
SOURCE_GUARD_PLUGIN: Final = "source-guard"
RESOLVERS: Final = (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf"))
"""The machine's name servers; systemd-resolved's own address, on loopback, would mean something else inside a pod."""


SOURCE_GUARD: Final = f"""
table bridge {CNI_NETWORK} {{
  set ports {{ type ifname; }}
  set sources {{ type ifname . ipv6_addr; }}
  chain pods {{
    type filter hook prerouting priority -300; policy accept;
    iifname @ports ether type ip6 jump ipv6
  }}
  chain ipv6 {{
    iifname . ip6 saddr @sources accept
    ip6 saddr {{ fe80::/10, :: }} icmpv6 type {{ mld-listener-report, mld-listener-done, mld2-listener-report, nd-router-solicit,
      nd-neighbor-solicit, nd-neighbor-advert }} accept
    drop
  }}
}}
"""
"""nftables: over IPv6 a pod sends from the addresses that the CNI gave it, and from no others; the plugin source-guard (cluster/go) fills
the sets. kube-router knows pods by those addresses, so whatever comes from another passes every NetworkPolicy: from the one on the link,
which the kernel gives each device (it serves to find neighbours, and for nothing else), and from any that a program likes: for IPv6 the
kernel lets everybody choose (IPV6_FREEBIND), while for IPv4 it looks whether the address is its own."""


def etcd(state: Path) -> list[str]:
    """The database: on loopback, without fsync (what a test cluster loses in a power cut, it makes again)."""
    client, peer = f"http://127.0.0.1:{ETCD_PORT}", f"http://127.0.0.1:{ETCD_PEER_PORT}"
    return [
        "etcd",
        f"--data-dir={state / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
    ]


def _each(ipv4: str, over_ipv6: str, ipv6: bool) -> str:
    """One setting for the families that the cluster has; the first is the primary one."""
    return f"{ipv4},{over_ipv6}" if ipv6 else ipv4


def api_server(pki: Path, *, ipv6: bool) -> list[str]:
    """kube-apiserver with the default admission plugins and RBAC."""
    return [
        "kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{ETCD_PORT}",
        f"--secure-port={API_PORT}",
        # Nobody outside the machine has any business with this cluster.
        f"--bind-address={NODE_ADDRESS}",
        f"--advertise-address={NODE_ADDRESS}",
        # exec and logs would look the node's name up in DNS otherwise.
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-cluster-ip-range={_each(SERVICE_CIDR, SERVICE_CIDR6, ipv6)}",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--service-account-key-file={pki}/service-accounts.pub",
        f"--service-account-signing-key-file={pki}/service-accounts.key",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--kubelet-client-certificate={pki}/admin.crt",
        f"--kubelet-client-key={pki}/admin.key",
        "--endpoint-reconciler-type=lease",
        f"--requestheader-client-ca-file={pki}/ca.crt",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
    ]


def controller_manager(pki: Path, *, ipv6: bool) -> list[str]:
    """kube-controller-manager; one node, so no leader election."""
    conf = pki / "controller-manager.conf"
    return [
        "kube-controller-manager",
        f"--kubeconfig={conf}",
        f"--authentication-kubeconfig={conf}",
        f"--authorization-kubeconfig={conf}",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={pki}/service-accounts.key",
        f"--root-ca-file={pki}/ca.crt",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        "--bind-address=127.0.0.1",
        "--allocate-node-cidrs",
        f"--cluster-cidr={_each(POD_CIDR, POD_CIDR6, ipv6)}",
        "--leader-elect=false",
    ]


def scheduler(pki: Path) -> list[str]:
    """kube-scheduler."""
    conf = pki / "scheduler.conf"
    return [
        "kube-scheduler",
        f"--kubeconfig={conf}",
        f"--authentication-kubeconfig={conf}",
        f"--authorization-kubeconfig={conf}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
    ]


def kube_router(pki: Path, *, ipv6: bool) -> list[str]:
    """NetworkPolicy, and nothing else of what kube-router can do: this kernel has no IPVS."""
    return [
        "kube-router",
        "--run-firewall=true",
        "--run-router=false",
        "--run-service-proxy=false",
        "--run-loadbalancer=false",
        "--health-port=0",  # it would listen on every address
        f"--kubeconfig={pki}/admin.conf",
        f"--hostname-override={NODE}",
        f"--enable-ipv6={str(ipv6).lower()}",
        *(f"--service-cluster-ip-range={one}" for one in _each(SERVICE_CIDR, SERVICE_CIDR6, ipv6).split(",")),
    ]


def kubelet(state: Path, files: Path, pki: Path, *, ipv6: bool) -> list[str]:
    """kubelet."""
    return [
        "kubelet",
        f"--config={files}/kubelet.yaml",
        f"--kubeconfig={pki}/kubelet.conf",
        f"--hostname-override={NODE}",
        f"--node-ip={_each(NODE_ADDRESS, NODE_ADDRESS6, ipv6)}",
        f"--root-dir={state / 'kubelet'}",
    ]


def files(state: Path, run: Path, pki: Path, *, ipv6: bool) -> dict[str, str]:
    """File name → content, for containerd, CNI, kubelet and kube-proxy."""
    return {
        "containerd.toml": _containerd(state, run),
        "cni/10-pods.conflist": json.dumps(_cni(run, ipv6=ipv6), indent=2),
        "kubelet.yaml": yaml.safe_dump(_kubelet(state, run, pki)),
        "kube-proxy.yaml": yaml.safe_dump(_kube_proxy(pki, ipv6=ipv6)),
    }


def _containerd(state: Path, run: Path) -> str:
    # restrict_oom_score_adj: root here may lack CAP_SYS_RESOURCE, and runc would die while lowering the score.
    return f"""version = 2
root = "{state}/containerd"
state = "{run}/containerd"
[grpc]
address = "{run}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{state}/cni"
conf_dir = "{state}/files/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.internal.v1.opt"]
path = "{state}/containerd-opt"
"""


def _cni(run: Path, *, ipv6: bool) -> dict[str, Any]:
    ranges, routes = [[{"subnet": NODE_POD_CIDR}]], [{"dst": "0.0.0.0/0"}]
    if ipv6:
        ranges.append([{"subnet": NODE_POD_CIDR6}])
        routes.append({"dst": "::/0"})
    bridge: dict[str, Any] = {
        "type": "bridge",
        "bridge": POD_DEVICE,
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": ranges, "routes": routes, "dataDir": str(run / "cni")},
    }
    plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
    if ipv6:
        plugins.append({"type": SOURCE_GUARD_PLUGIN, "bridge": POD_DEVICE, "table": CNI_NETWORK})
    else:
        # The kernel gives every device an address on the link by itself, and kube-router, told of IPv4 alone, lets all IPv6 pass:
        # pods would reach one another and the node past every NetworkPolicy.
        plugins.append({"type": "tuning", "sysctl": {"net.ipv6.conf.eth0.disable_ipv6": "1"}})
    return {"cniVersion": "1.0.0", "name": CNI_NETWORK, "plugins": plugins}


def _kubelet(state: Path, run: Path, pki: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        # cgroup v1 hybrid is what some machines without Docker have.
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": "/",
        "containerRuntimeEndpoint": f"unix://{run}/containerd.sock",
        "podLogsDir": str(state / "pod-logs"),
        "volumePluginDir": str(state / "volume-plugins"),
        "resolvConf": str(next((path for path in RESOLVERS if path.exists()), RESOLVERS[-1])),
        "address": NODE_ADDRESS,
        "authentication": {
            "x509": {"clientCAFile": f"{pki}/ca.crt"},
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{pki}/kubelet.crt",
        "tlsPrivateKeyFile": f"{pki}/kubelet.key",
        "clusterDomain": "cluster.local",
        "clusterDNS": [DNS_ADDRESS],
        "failSwapOn": False,
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "registerNode": True,
        "serializeImagePulls": False,
    }


def _kube_proxy(pki: Path, *, ipv6: bool) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": f"{pki}/kube-proxy.conf"},
        # No IPVS in this kernel, and iptables mode is slower.
        "mode": "nftables",
        "clusterCIDR": _each(POD_CIDR, POD_CIDR6, ipv6),
        "hostnameOverride": NODE,
        "healthzBindAddress": "127.0.0.1:10256",
        "conntrack": {"maxPerCore": 0},
    }
