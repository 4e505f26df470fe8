"""What counts as a yes, what as a no, and what as neither."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox_common.kube import Object
from devbox_proxy.reviews.verdicts import read, verdict

from .identities import BINDING, ROUTE
from .review_answers import answer, status


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (status(), ""),
        ({}, "not authenticated"),
        ({"user": {}, "error": "[invalid bearer token]"}, "not authenticated"),
        (status(authenticated=False), "not authenticated"),
        (status(audiences=["https://kubernetes.default.svc"]), "another audience"),
        (status(audiences=None), "another audience"),
        (status(user={"username": "system:serviceaccount:agents:devbox-agent"}), "another pod"),
        (status(user={"username": "system:serviceaccount:agents:devbox-agent", "extra": None}), "another pod"),
        (status(user=status()["user"] | {"extra": {"authentication.kubernetes.io/pod-uid": []}}), "another pod"),
        (status(user=status()["user"] | {"extra": {"authentication.kubernetes.io/pod-uid": ["uid-2"]}}), "another pod"),
        (status(user=status()["user"] | {"username": "system:serviceaccount:agents:default"}), "another account"),
        (status(user=status()["user"] | {"username": "system:serviceaccount:other:devbox-agent"}), "another account"),
    ],
)
def test_yes_and_no(found: Object, why: str) -> None:
    said = verdict(read(answer(found)), ROUTE, BINDING)
    assert (said.accepted, said.why) == (not why, why)
    assert said.credential_id == ("" if why else "JTI=9")


@pytest.mark.parametrize(
    "whole",
    [
        {},
        {"kind": "Status", "apiVersion": "v1", "status": "Success"},
        {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1"},
        {**answer(status()), "kind": "SubjectAccessReview"},
        {**answer(status()), "apiVersion": "authentication.k8s.io/v2"},
        answer(None),
        answer([]),
        answer("authenticated"),
        answer(status(authenticated="true")),
        answer(status(authenticated=1)),
        answer(status(audiences=f"x{BINDING.audience}x")),
        answer(status(audiences={BINDING.audience: True})),
        answer(status(user="system:serviceaccount:agents:devbox-agent")),
        answer(status(user={"username": 7})),
        answer(status(user=status()["user"] | {"extra": ["authentication.kubernetes.io/pod-uid"]})),
        answer(status(user=status()["user"] | {"extra": {"authentication.kubernetes.io/pod-uid": "uid-1"}})),
    ],
    ids=str,
)
def test_neither(whole: Object) -> None:
    with pytest.raises(ValueError, match="validation error") as caught:
        read(whole)
    assert "devbox-agent" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
KEYS = st.sampled_from(["kind", "apiVersion", "status", "authenticated", "audiences", "user", "username", "extra"])


@given(st.dictionaries(KEYS, JSON | st.dictionaries(KEYS, JSON, max_size=4), max_size=4))
def test_whatever_comes_it_is_no_yes_and_no_crash(whole: Object) -> None:
    try:
        found = read(whole)
    except ValueError:
        return
    assert not verdict(found, ROUTE, BINDING).accepted
