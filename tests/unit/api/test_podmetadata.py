"""Which labels and annotations a Devbox may put on its pod: the cases of the API server's tests, read by the rule's own expression."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from devbox_api import devbox
from devbox_api.podmetadata import BEGINNINGS, DOMAINS, HARMLESS, STEERING
from devbox_api.schema import structural

CASES = Path(__file__).parents[2] / "integration" / "api_rules" / "devbox.yaml"


def _keys() -> Iterator[Any]:
    for case in yaml.safe_load(CASES.read_text(encoding="utf-8"))["cases"]:
        for kind, entries in (case["change"].get("spec", {}).get("podMetadata") or {}).items():
            for key in entries:
                # (Other rules look at the same keys: how large everything is.)
                yield pytest.param(kind, key, "that steer" not in case.get("refused", ""), id=f"{kind} {key}")


def _rule(kind: str) -> str:
    node = structural(devbox.DevboxSpec)["properties"]["podMetadata"]["properties"][kind]
    (rule,) = node["x-kubernetes-validations"]
    return str(rule["rule"])


@pytest.mark.parametrize(("kind", "key", "allowed"), list(_keys()))
def test_each_key_is_allowed_or_not(kind: str, key: str, allowed: bool) -> None:
    (pattern,) = re.findall(r"matches\('(.*?)'\)", _rule(kind))
    assert pattern == STEERING
    assert (key in HARMLESS or not re.search(pattern, key)) is allowed


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_domain_stands_for_all_that_is_under_it(domain: str) -> None:
    for key in (f"{domain}/x", f"a.b.{domain}/x", f"a.{domain}", domain.upper() + "/x"):
        assert re.search(STEERING, key), key
    for key in (f"my{domain}/x", f"{domain}.example/x", f"example/{domain}", f"example.com/a.{domain}"):
        assert not re.search(STEERING, key), key


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_a_domain_the_other_way_round_stands_for_all_that_begins_with_it(beginning: str) -> None:
    assert all(re.search(STEERING, f"{beginning}{rest}") for rest in (".x", ".x/y", "/x", ""))
    assert not any(re.search(STEERING, key) for key in (f"{beginning}s/x", f"example.com/{beginning}.x", f"a.{beginning}.x"))


@pytest.mark.parametrize("kind", ["labels", "annotations"])
def test_the_rule_is_cheap(kind: str) -> None:
    """CEL counts a quarter of an expression's length for each tenth of a key's, and 32 keys; a second expression would double it."""
    assert _rule(kind).count("matches") == 1
    assert "contains" not in _rule(kind)
    assert len(STEERING) < 1000
