"""Names and ids."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox_gateway import naming
from devbox_gateway.errors import InvalidError
from devbox_gateway.naming import DEVBOX, GATEWAY_CONFIG, SECRET, Reference, object_name, reference

KUBERNETES = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@pytest.mark.parametrize("name", ["anthropic-gateway", "a", "team-a.anthropic", "0"])
def test_a_name_that_kubernetes_takes_is_itself(name: str) -> None:
    assert object_name(name) == name


@pytest.mark.parametrize(
    ("name", "start"),
    [("MY_ANTHROPIC_KEY", "my-anthropic-key-"), ("Größe 2", "gr-e-2-"), ("a..b", "a-b-"), ("-", ""), ("a.", "a-")],
)
def test_another_one_is_readable(name: str, start: str) -> None:
    assert re.fullmatch(rf"{re.escape(start)}[0-9a-f]{{8}}", object_name(name))


@given(st.text(min_size=1, max_size=200))
def test_every_name_is_one_of_kubernetes(name: str) -> None:
    found = object_name(name)
    assert KUBERNETES.fullmatch(found)
    assert len(found) <= 253


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_two_names_are_two_objects(one: str, two: str) -> None:
    assert (object_name(one) == object_name(two)) == (one == two)


@given(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True), st.sampled_from(["home", "away"]))
def test_an_id_leads_back(name: str, namespace: str) -> None:
    where = Reference(namespace, name)
    assert reference(GATEWAY_CONFIG, where.id(GATEWAY_CONFIG, "home"), "home") == where


def test_ids() -> None:
    assert Reference("home", "a").id(DEVBOX, "home") == "dbx_a"
    assert Reference("other", "a").id(SECRET, "home") == "sec_other/a"
    assert reference(SECRET, "MY_KEY", "home") == Reference("home", object_name("MY_KEY"), "MY_KEY")


@pytest.mark.parametrize(
    "text", ["sec_a", "gwc_", "gwc_A", "gwc_a/b/c", "gwc_/a", "gwc_a/", "", " ", "a\nb", "\x1b[31m", "x" * 201]
)
def test_what_names_nothing(text: str) -> None:
    with pytest.raises(InvalidError):
        reference(GATEWAY_CONFIG, text, "home")


@pytest.mark.parametrize("thing", [None, 3, {"id": "gwc_a"}, ["gwc_a"]])
def test_what_is_no_text(thing: object) -> None:
    with pytest.raises(InvalidError, match="named by text"):
        reference(GATEWAY_CONFIG, thing, "home")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [None, "Agent 1", "1st", "agent", "x" * 200, "…", "-a-"])
def test_devboxes_names(name: str | None) -> None:
    found = {naming.random_devbox_name(name) for _ in range(50)}
    assert len(found) == 50
    assert all(re.fullmatch(r"[a-z]([a-z0-9-]{0,50}[a-z0-9])?", one) for one in found)


@pytest.mark.parametrize(
    ("name", "expected"), [("agent", "agent"), ("Agent", None), (None, None), ("1st", None), ("a.b", None), ("x" * 53, None)]
)
def test_a_devbox_has_its_own_name_where_it_can(name: str | None, expected: str | None) -> None:
    assert naming.devbox_name(name) == expected
