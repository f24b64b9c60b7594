"""What kubelet and kube-proxy are told, as documents of their configuration kinds."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.node.machine import Addresses

NAME = "node"
DOMAIN = "cluster.local"
READY_PORT = 8181


def kubelet(
    folder: Path, addresses: Addresses, authority: Path, cgroup: str, *, has_names: bool
) -> dict[str, object]:
    names = {"clusterDNS": [addresses.node], "clusterDomain": DOMAIN} if has_names else {}
    return {
        **names,
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": addresses.node,
        "healthzBindAddress": "127.0.0.1",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "failCgroupV1": False,  # else it refuses a machine that has only this version
        "failSwapOn": False,
        "podLogsDir": f"{folder}/pod-logs",
        "volumePluginDir": f"{folder}/kubelet/volume-plugins",
        "resolvConf": f"{folder}/resolv.conf",
        # kube-proxy has rules of its own; so iptables is not needed.
        "makeIPTablesUtilChains": False,
        # A full disk here is no reason to end Pods.
        "evictionHard": {
            "memory.available": "0%",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "nodeStatusUpdateFrequency": "5s",
        "syncFrequency": "10s",
    }


def name_server(addresses: Addresses, kubeconfig: Path) -> str:
    """CoreDNS's: it knows nothing but the cluster's own names."""
    return f"""\
.:53 {{
    bind {addresses.node}
    errors
    ready {addresses.node}:{READY_PORT}
    kubernetes {DOMAIN} {{
        kubeconfig {kubeconfig}
    }}
}}
"""


def kube_proxy(addresses: Addresses, kubeconfig: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "mode": "nftables",
        "clusterCIDR": addresses.pods,
        "hostnameOverride": NAME,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        # Of the whole machine, some of it: left as it is.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }
