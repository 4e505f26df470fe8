"""What the operator's own credentials can do to PersistentVolumeClaims in an attacker's hands: the chart's admission policy, row by row.

Everything starts from the claim that the operator's own code makes, which passes; each row changes one thing.
"""

import json
from collections.abc import Iterator

import pytest
from tests.support.admission import (
    CREDENTIALS,
    GONE,
    OPERATOR,
    UID,
    ask,
    changed,
    create,
    plain,
    policies_at_work,
    until,
)

from devbox_api import names
from devbox_api.devbox import Devbox
from devbox_operator.devbox import claim as claims
from devbox_stage.kubectl import Kubectl, Object
from devbox_stage.stage import RELEASE_NAMESPACE

HERE = "admission-claims"
OTHER = "0b5b7a35-8a3b-4a0b-9b0b-5a3b0b5b7a36"
pytestmark = pytest.mark.row("S23")


def claim(namespace: str = HERE, retain: str = "Delete", **changes: object) -> Object:
    """A workspace's, as the operator makes it."""
    metadata = {"name": "one", "namespace": namespace, "uid": UID, "generation": 1}
    box = Devbox.model_validate({"metadata": metadata, "spec": {"workspace": {"size": "1Gi", "retain": retain}}})
    assert box.spec.workspace is not None
    return changed(claims.body(box, box.spec.workspace), changes)


@pytest.fixture(scope="module", autouse=True)
def namespace(cluster: Kubectl, release: None) -> Iterator[None]:
    """One with a workspace's claim, one that is kept, and somebody's."""
    policies_at_work(cluster)
    cluster.apply([plain("Namespace", HERE)])
    until("the policy works", lambda: "the operator may" in create(cluster, claim(metadata__labels=GONE), OPERATOR).text)
    kept = claim(retain="Retain", metadata__name="kept-0123456789", metadata__finalizers=["example.com/kept"])
    theirs = claim(metadata__name="theirs", metadata__labels=GONE, metadata__annotations=GONE, metadata__ownerReferences=GONE)
    cluster("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": [kept, theirs]}))
    yield
    released = '{"metadata":{"finalizers":null}}'
    cluster("-n", HERE, "patch", "pvc", "kept-0123456789", "--type=merge", "-p", released)
    cluster("delete", "namespace", HERE, "--timeout=90s", timeout=120)


NAMED, NEW, OWNED, MARKS, ONLY, SIZE = (
    "that are named after their Devbox",
    "claims of new, empty file systems only",
    "to the Devbox whose workspace it is",
    "put its own marks on the claim",
    "change claims of workspaces only",
    "have a workspace grow, and change nothing else",
)
MADE: list[tuple[Object, str | None]] = [
    ({}, None),
    ({"metadata__ownerReferences": GONE}, None),
    ({"spec__storageClassName": "any"}, None),
    ({"spec__accessModes": ["ReadWriteOncePod"]}, None),
    ({"spec__resources__requests__storage": "100Ti"}, None),
    ({"metadata__name": "data"}, NAMED),
    ({"metadata__name": "two-0123456789"}, NAMED),
    ({"metadata__labels": GONE}, NAMED),
    ({"metadata__labels": {names.DEVBOX_LABEL: "one"}}, NAMED),
    ({"metadata__annotations": GONE}, NAMED),
    ({"spec__volumeName": "somebodys"}, NEW),
    ({"spec__selector": {"matchLabels": {"team": "b"}}}, NEW),
    ({"spec__dataSource": {"kind": "PersistentVolumeClaim", "name": "theirs"}}, NEW),
    ({"spec__dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "theirs"}}, NEW),
    ({"spec__volumeMode": "Block"}, NEW),
    ({"spec__accessModes": ["ReadWriteOnce", "ReadWriteMany"]}, NEW),
    ({"spec__volumeAttributesClassName": "gold"}, NEW),
    ({"metadata__ownerReferences__0__uid": OTHER}, OWNED),
    ({"metadata__ownerReferences__0__name": "two"}, OWNED),
    ({"metadata__ownerReferences__0__kind": "GatewayConfig"}, OWNED),
    ({"metadata__ownerReferences__0__controller": True}, OWNED),
]


@pytest.mark.parametrize(("change", "message"), MADE, ids=str)
def test_what_may_be_made(cluster: Kubectl, change: Object, message: str | None) -> None:
    answer = create(cluster, claim(**change), OPERATOR)
    assert message in answer.text if message else answer.ok, answer.text


@pytest.mark.parametrize("where", ["kube-public", RELEASE_NAMESPACE, CREDENTIALS])
def test_where_none_is_made(cluster: Kubectl, where: str) -> None:
    assert "in namespaces of the system" in create(cluster, claim(where), OPERATOR).text


OWNER: Object = {"apiVersion": names.API_VERSION, "kind": "Devbox", "name": "one", "uid": UID}
CHANGED: list[tuple[str, Object, str | None]] = [
    ("kept-0123456789", {"metadata": {"ownerReferences": [OWNER]}}, None),
    ("kept-0123456789", {"metadata": {"ownerReferences": [{**OWNER, "uid": OTHER}]}}, OWNED),
    ("kept-0123456789", {"metadata": {"ownerReferences": [{**OWNER, "kind": "Pod", "apiVersion": "v1"}]}}, OWNED),
    ("kept-0123456789", {"metadata": {"labels": {"team": "b"}}}, MARKS),
    ("kept-0123456789", {"metadata": {"labels": {names.MOUNTABLE_LABEL: "true"}}}, MARKS),
    ("kept-0123456789", {"metadata": {"annotations": {"a": "b"}}}, MARKS),
    ("kept-0123456789", {"metadata": {"annotations": {names.WORKSPACE_OF_ANNOTATION: OTHER}}}, MARKS),
    ("kept-0123456789", {"metadata": {"annotations": {names.WORKSPACE_OF_ANNOTATION: None}}}, MARKS),
    ("kept-0123456789", {"metadata": {"finalizers": None}}, MARKS),
    ("kept-0123456789", {"spec": {"storageClassName": "any"}}, SIZE),
    ("theirs", {"metadata": {"labels": {names.MANAGED_BY_LABEL: names.MANAGED_BY}}}, ONLY),
    ("theirs", {"metadata": {"ownerReferences": [OWNER]}}, OWNED),
    ("theirs", {"metadata": {"annotations": {names.WORKSPACE_OF_ANNOTATION: UID}}}, ONLY),
]


@pytest.mark.parametrize(("name", "patch", "message"), CHANGED, ids=str)
def test_what_of_one_that_is_there(cluster: Kubectl, name: str, patch: Object, message: str | None) -> None:
    where = ("-n", HERE, "patch", "pvc", name, "--dry-run=server", "--type=merge", "-p", json.dumps(patch), "-o", "name")
    answer = ask(cluster, *where, user=OPERATOR)
    assert message in answer.text if message else answer.ok, answer.text


def test_none_is_deleted(cluster: Kubectl) -> None:
    answer = ask(cluster, "-n", HERE, "delete", "pvc", "kept-0123456789", "--dry-run=server", user=OPERATOR)
    assert "forbidden" in answer.text


def test_nobody_else_is_concerned(cluster: Kubectl) -> None:
    assert create(cluster, claim(metadata__name="data", metadata__labels=GONE, spec__volumeName="a")).ok
