"""A gateway of Istio: its objects, and the upstream Envoy in a Pod that Istio programs.

Istio would make the Pod itself, of its own image, which cannot be had here. So the Gateway names
the address of a Service that is there already, and Istio takes what is behind it for its proxy.
"""

from __future__ import annotations

import json

from tests.cluster.api import Object

GATEWAY_LABEL = "gateway.networking.k8s.io/gateway-name"
ADMIN_PORT = 15000


def gateway_objects(
    gateway: Object, namespace: str, image: str, xds: tuple[str, int]
) -> list[Object]:
    """The Gateway with a Service and a proxy that it takes for its own."""
    name = gateway["metadata"]["name"]
    labels = {GATEWAY_LABEL: name}
    host = f"{name}.{namespace}.svc.cluster.local"
    addresses = [{"type": "Hostname", "value": host}]
    ports = [
        {"name": one["name"], "port": one["port"], "appProtocol": "http"}
        for one in gateway["spec"]["listeners"]
    ]
    service = {"selector": labels, "ports": ports}
    template = {"metadata": {"labels": labels}, "spec": _proxy(name, namespace, image, xds)}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": service},
        {**gateway, "spec": {**gateway["spec"], "addresses": addresses}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        },
    ]


def _proxy(name: str, namespace: str, image: str, xds: tuple[str, int]) -> Object:
    node = f"router~$(POD_IP)~$(POD_NAME).{namespace}~{namespace}.svc.cluster.local"
    fields = {"POD_NAME": "metadata.name", "POD_IP": "status.podIP"}
    container = {
        "name": "envoy",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": [
            *("--config-yaml", json.dumps(_bootstrap(name, namespace, xds))),
            *("--service-node", node, "--service-cluster", f"{name}.{namespace}"),
            *("--concurrency", "1"),
        ],
        "env": [
            {"name": variable, "valueFrom": {"fieldRef": {"fieldPath": path}}}
            for variable, path in fields.items()
        ],
        "readinessProbe": {
            "httpGet": {"path": "/ready", "port": ADMIN_PORT},
            "periodSeconds": 1,
        },
    }
    low_ports = {"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}
    return {
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "sysctls": [low_ports]},
        "containers": [container],
    }


def _bootstrap(name: str, namespace: str, xds: tuple[str, int]) -> Object:
    metadata = {
        "NAMESPACE": namespace,
        "CLUSTER_ID": "Kubernetes",
        "ISTIO_VERSION": "1.31.0",
        # Without this label Istio leaves the picker out without a word.
        "LABELS": {GATEWAY_LABEL: name},
        "SERVICE_ACCOUNT": "default",
        "INSTANCE_IPS": "$(POD_IP)",
    }
    from_istiod = {"ads": {}, "resource_api_version": "V3"}
    service = {"envoy_grpc": {"cluster_name": "xds-grpc"}}
    ads = {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "grpc_services": [service]}
    http = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    endpoint = {"endpoint": {"address": _socket_address(*xds)}}
    cluster = {
        "name": "xds-grpc",
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            http: {
                "@type": f"type.googleapis.com/{http}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": "xds-grpc",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }
    return {
        "node": {"metadata": metadata},
        "admin": {"address": _socket_address("0.0.0.0", ADMIN_PORT)},
        "dynamic_resources": {
            "ads_config": ads,
            "lds_config": from_istiod,
            "cds_config": from_istiod,
        },
        "static_resources": {"clusters": [cluster]},
    }


def _socket_address(address: str, port: int) -> Object:
    return {"socket_address": {"address": address, "port_value": port}}
