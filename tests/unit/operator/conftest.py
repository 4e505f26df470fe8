"""Builders for what the operator's pure part works on."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devbox_api import names
from devbox_operator.devbox.incarnation import pod_name
from devbox_operator.seen.claims import ClaimView, claim_name
from devbox_operator.seen.initview import InitView
from devbox_operator.seen.pods import PodView
from devbox_operator.seen.resources import DevboxView, EgressView, GatewayView
from devbox_operator.seen.secrets import SecretView
from devbox_operator.seen.snapshot import Snapshot, System
from devbox_operator.settings import Image, Settings

IMAGE = "registry.example/devbox-gateway:1"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
Make = Callable[..., Any]


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def settings() -> Settings:
    return Settings(release_namespace="rel", credentials_namespace="rel-credentials", image=Image(reference=IMAGE))


@pytest.fixture
def devbox() -> Make:
    def make(
        *,
        spec: Mapping[str, Any] | None = None,
        status: Mapping[str, Any] | None = None,
        annotations: Mapping[str, str] | None = None,
        name: str = "agent",
        namespace: str = "team-a",
        deleting: bool = False,
    ) -> DevboxView:
        metadata: dict[str, Any] = {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{namespace}-{name}",
            "generation": 3,
            "resourceVersion": "7",
            "annotations": dict(annotations or {}),
        }
        if deleting:
            metadata["deletionTimestamp"] = "2026-11-23T11:59:00Z"
        default = {"image": "img:1", "gateways": [{"name": "ANTHROPIC", "gatewayRef": {"name": "anthropic"}}]}
        return DevboxView.of({"metadata": metadata, "spec": {**default, **(spec or {})}, "status": dict(status or {})})

    return make


@pytest.fixture
def gateway() -> Make:
    def make(*, spec: Mapping[str, Any] | None = None, status: Mapping[str, Any] | None = None, **metadata: str) -> GatewayView:
        place = {"name": "anthropic", "namespace": "team-a", "uid": "gw-1", "generation": 1} | metadata
        default = {
            "endpoint": "https://api.anthropic.com",
            "authMechanism": {"type": "Bearer"},
            "credential": {"secretRef": {"name": "anthropic"}},
        }
        return GatewayView.of({"metadata": place, "spec": {**default, **(spec or {})}, "status": dict(status or {})})

    return make


@pytest.fixture
def egress() -> Make:
    def make(*, status: Mapping[str, Any] | None = None, **spec: Any) -> EgressView:
        metadata = {"name": "web", "namespace": "team-a", "uid": "eg-1", "generation": 1}
        return EgressView.of({"metadata": metadata, "spec": spec, "status": dict(status or {})})

    return make


@pytest.fixture
def secret() -> Make:
    def make(
        data: Mapping[str, str] | None = None,
        *,
        grant: str | None = "api.anthropic.com",
        name: str = "anthropic",
        namespace: str = "team-a",
    ) -> SecretView:
        import base64

        values = {"api-key": "sk-ant-api-0000"} if data is None else data
        encoded = {key: base64.b64encode(value.encode("latin-1")).decode() for key, value in values.items()}
        annotations = {} if grant is None else {names.ALLOWED_HOSTS_ANNOTATION: grant}
        metadata = {"name": name, "namespace": namespace, "uid": "s-1", "resourceVersion": "3", "annotations": annotations}
        return SecretView.of({"metadata": metadata, "data": encoded}, frozenset({None, "api-key", "b", *encoded}))

    return make


@pytest.fixture
def pod() -> Make:
    def make(devbox: DevboxView, incarnation: int = 1, **changes: Any) -> PodView:
        base = PodView(
            namespace=devbox.box.namespace,
            name=pod_name(devbox.box, incarnation),
            uid=f"pod-{incarnation}",
            devbox=devbox.box.name,
            owner=devbox.box.uid,
            labels={names.DEVBOX_LABEL: devbox.box.name},
            incarnation=incarnation,
            spec_hash="hash",
            restarted_at="",
            gates=(),
            deleting=False,
            phase="Running",
            ready=True,
            ips=("10.0.0.7",),
            created=NOW,
            started=NOW,
            finished=None,
            ran_for=None,
            restarts=0,
            exit_code=None,
            trouble="",
            init=InitView(finished=True, enforced=True),
        )
        made = replace(base, **changes)
        return replace(made, init=replace(made.init, image=made.init.image or IMAGE)) if made.init else made

    return make


def claim_of(view: DevboxView, **changes: Any) -> ClaimView:
    """The claim of a Devbox's workspace, of 10Gi and bound."""
    base = ClaimView(
        namespace=view.box.namespace,
        name=claim_name(view.box),
        uid="claim-1",
        devbox=view.box.name,
        workspace_of=view.box.uid,
        labelled=True,
        owners=frozenset({view.box.uid}),
        phase="Bound",
        asked="10Gi",
        capacity="10Gi",
        storage_class="fast",
        selected=False,
        created=NOW - timedelta(minutes=1),
    )
    return replace(base, **changes)


@pytest.fixture
def snapshot(devbox: Make, gateway: Make, secret: Make) -> Make:
    def make(view: DevboxView | None = None, **changes: Any) -> Snapshot:
        base = Snapshot(
            devbox=view or devbox(),
            pods=(),
            gateways={("team-a", "anthropic"): gateway()},
            secrets={("team-a", "anthropic"): secret()},
            labels={},
            egress=None,
            volumes={},
            policies=(),
            documents=frozenset({"gateway-gw-1", names.credential_name("team-a", "anthropic", "api-key")}),
            system=System(("10.96.0.9",), "PEM"),
            now=NOW,
        )
        return replace(base, **changes)

    return make
