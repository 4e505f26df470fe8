"""The corpus file: YAML in, `Case`s out. A key that is not known is a ValueError that lists the known ones."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Final

import yaml

from .corpus import NOT_RUN, Case
from .expect import checks

KNOWN: Final = ("id", "group", "name", "send", "expect", "upstream", "config", "source", "note")
IN_A_CLUSTER: Final = ("id", "group", "name", "patch", "expect", "source", "note")
"""Of groups that are not run here: tests/chaos/test_k8s_attacks.py does, case by case. What they expect is a sentence, `result`."""
OF_A_TUNNEL: Final = ("dns", "port", "sni")
OF_AN_ENDPOINT: Final = ("endpoint", "secret_value", "dns")
"""`dns` is a list of answers, one after the other; each is a list of addresses."""


def load(path: Path) -> list[Case]:
    """Every case of a file. Raises ValueError or OSError, saying what is wrong with it."""
    document = yaml.safe_load(path.read_text())
    if not isinstance(document, dict) or not isinstance(document.get("cases"), list):
        raise ValueError(f"{path}: not a corpus: it has no list `cases`")
    return [read(item) for item in document["cases"]]


def read(item: dict[str, Any]) -> Case:
    """One case. Raises ValueError."""
    try:
        return _case(item)
    except ValueError as error:
        raise ValueError(f"{item.get('id')}: {error}") from None


def _case(item: dict[str, Any]) -> Case:
    group, expect, config = item["group"], dict(item.get("expect") or {}), item.get("config") or {}
    elsewhere = group in NOT_RUN
    _check_keys("", item, IN_A_CLUSTER if elsewhere else KNOWN)
    _check_keys("config.", config, OF_A_TUNNEL if group == "connect" else OF_AN_ENDPOINT)
    if elsewhere:
        _check_keys("expect.", expect, ("result",))
        expect = {}
    status, close = expect.pop("status", []), expect.pop("close", False)
    requests, dials = expect.pop("upstream_requests", None), expect.pop("dials", None)
    return Case(
        id=str(item["id"]),
        group=group,
        name=str(item.get("name", "")),
        send=_list(item.get("send")),
        upstream=_list(item["upstream"]) if "upstream" in item else None,
        config=config,
        status=tuple(status if isinstance(status, list) else [status]),
        close=bool(close),
        upstream_requests=_range(requests),
        dials=dials,
        checks=checks(expect),
    )


def _check_keys(where: str, item: Iterable[str], known: Collection[str]) -> None:
    for key in item:
        if key not in known:
            raise ValueError(f"key not understood: {where}{key}; known are {', '.join(known)}")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _range(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    low, _, high = str(value).partition("..")
    return int(low), int(high or low)
