"""Where things are in the API. Pure."""

from devbox_api import names

DEVBOXES = f"/apis/{names.API_VERSION}"
SERVICE_CIDRS = "/apis/networking.k8s.io/v1/servicecidrs"


def of(prefix: str, plural: str, namespace: str = "", name: str = "") -> str:
    """`/api/v1/namespaces/x/pods/y`; without a namespace the whole cluster's, without a name the collection."""
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"{prefix}{scope}/{plural}{f'/{name}' if name else ''}"


def core(plural: str, namespace: str = "", name: str = "") -> str:
    """An object of the core group."""
    return of("/api/v1", plural, namespace, name)


def devboxes(namespace: str = "", name: str = "") -> str:
    """A Devbox, or all."""
    return of(DEVBOXES, "devboxes", namespace, name)


def gatewayconfigs(namespace: str = "", name: str = "") -> str:
    """A GatewayConfig, or all."""
    return of(DEVBOXES, "gatewayconfigs", namespace, name)


def egresspolicies(namespace: str = "", name: str = "") -> str:
    """An EgressPolicy, or all."""
    return of(DEVBOXES, "egresspolicies", namespace, name)


def networkpolicies(namespace: str = "", name: str = "") -> str:
    """A NetworkPolicy, or all."""
    return of("/apis/networking.k8s.io/v1", "networkpolicies", namespace, name)


def endpointslices(namespace: str = "", name: str = "") -> str:
    """An EndpointSlice, or all."""
    return of("/apis/discovery.k8s.io/v1", "endpointslices", namespace, name)


def pods(namespace: str = "", name: str = "") -> str:
    """A pod, or all."""
    return core("pods", namespace, name)


def secrets(namespace: str = "", name: str = "") -> str:
    """A Secret, or all."""
    return core("secrets", namespace, name)


def storageclass(name: str) -> str:
    """A StorageClass."""
    return of("/apis/storage.k8s.io/v1", "storageclasses", "", name)
