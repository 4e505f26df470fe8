"""A Redacted value shows itself nowhere."""

import copy
import json
import logging
import pickle
import traceback

import orjson
import pytest

from devbox_common.redacted import Redacted

SECRET = "sk-ant-api03-do-not-print"


@pytest.mark.parametrize(
    "show",
    [
        str,
        repr,
        lambda value: f"{value}",
        lambda value: f"{value!r:>40}",
        lambda value: "%s %r" % (value, value),  # noqa: UP031 (this form is what is tested)
        lambda value: str([value, {"key": value}]),
        lambda value: orjson.dumps({"key": value}, default=str).decode(),
        lambda value: logging.makeLogRecord({"msg": "%s", "args": (value,)}).getMessage(),
    ],
)
def test_no_way_of_printing_shows_it(show) -> None:  # type: ignore[no-untyped-def]
    shown = show(Redacted(SECRET))
    assert SECRET not in shown
    assert "<redacted>" in shown


def test_an_exception_that_holds_it_does_not_show_it() -> None:
    error = ValueError(Redacted(SECRET))
    assert SECRET not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("leak", [pickle.dumps, copy.deepcopy, json.dumps, orjson.dumps])
def test_it_is_not_serialised(leak) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TypeError):
        leak(Redacted(SECRET))


def test_reveal_and_comparison() -> None:
    assert Redacted(SECRET).reveal() == SECRET
    assert Redacted(SECRET) == Redacted(SECRET)
    assert Redacted(SECRET) != Redacted("other")
    assert Redacted(SECRET) != SECRET
    assert len({Redacted(SECRET), Redacted(SECRET)}) == 1
    assert not Redacted("")
    assert len(Redacted(SECRET)) == len(SECRET)
