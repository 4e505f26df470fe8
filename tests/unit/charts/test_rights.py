"""docs/rights.md says of every verb why it is there: its tables and the chart's roles are the same, both ways."""

import re
from pathlib import Path
from typing import Any

import pytest

from .rendering import NAMESPACE, render

PAGE = Path(__file__).resolve().parents[3] / "docs" / "rights.md"
WATCHED = "team-a"
Right = tuple[str, str, str, str]
"""Where, resource, name (or nothing), verb."""
PLACES = {
    "devbox namespaces": WATCHED,
    "`<credentials>`": f"{NAMESPACE}-credentials",
    "`<release>`": NAMESPACE,
    "`default`": "default",
    "`kube-public`": "kube-public",
}


def documented(component: str) -> set[Right]:
    """The rows of `## The <component>`."""
    section = PAGE.read_text(encoding="utf-8").split(f"## The {component}\n")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")]
    result: set[Right] = set()
    where = ""
    for place, resource, verbs, _ in rows[2:]:
        where = place or where
        words, objects = re.sub("`[^`]*`", "", resource), re.findall("`([^`]*)`", resource)
        plurals = [word.strip() for word in words.split(",") if word.strip()]
        for plural in plurals:
            for name in objects or [""]:
                result |= {(PLACES.get(where, where), plural, name, verb.strip()) for verb in verbs.split(",")}
    return result


def granted(component: str, objects: list[dict[str, Any]]) -> set[Right]:
    """What the roles that are bound to the service account say."""
    roles = {
        (one["kind"], one["metadata"].get("namespace", "cluster"), one["metadata"]["name"]): one["rules"]
        for one in objects
        if one["kind"] in ("Role", "ClusterRole")
    }
    result: set[Right] = set()
    for binding in objects:
        if not any(subject["name"] == f"devbox-{component}" for subject in binding.get("subjects") or ()):
            continue
        where = binding["metadata"].get("namespace", "cluster")
        for rule in roles[binding["roleRef"]["kind"], where, binding["roleRef"]["name"]]:
            for plural in rule["resources"]:
                for name in rule.get("resourceNames") or [""]:
                    result |= {(where, plural, name, verb) for verb in rule["verbs"]}
    return result


@pytest.mark.parametrize("component", ["gateway", "operator"])
def test_the_table_and_the_roles_are_the_same(component: str) -> None:
    found, told = granted(component, render({"watchNamespaces": [WATCHED]})), documented(component)
    assert found - told == set(), "granted, and not in docs/rights.md"
    assert told - found == set(), "in docs/rights.md, and not granted"


@pytest.mark.parametrize("component", ["gateway", "operator"])
def test_without_watch_namespaces_the_same_rights_are_the_clusters(component: str) -> None:
    expected = {("cluster" if where == WATCHED else where, *rest) for where, *rest in documented(component)}
    assert granted(component, render()) == expected


def test_named_source_secrets_take_the_reading_of_secrets_away() -> None:
    named = granted("operator", render({"watchNamespaces": [WATCHED], "rbac": {"sourceSecrets": "Named"}}))
    assert documented("operator") - named == {(WATCHED, "secrets", "", verb) for verb in ("get", "list", "watch")}


def test_no_right_is_a_star_and_none_leads_to_others() -> None:
    for component in ("gateway", "operator"):
        rights = granted(component, render())
        assert not {right for right in rights if "*" in right}
        assert not {right for right in rights if right[3] in ("escalate", "bind", "impersonate")}
        assert not {
            right for right in rights if right[1] in ("pods/exec", "pods/log", "pods/attach", "pods/ephemeralcontainers")
        }
