"""How long a mirrored credential stays in use that its Secret does not bear out any more. The one "keep the last state" for credentials.

An API server that starts refuses for a moment what it allows, and a rotation may write what can't be a credential: neither is to break
devboxes. But who took a right away wants it gone, and a bad value may stand in the place of a key that leaked. So it stays for a while
that is written on the credential itself, where the next operator finds it, and the conditions say until when.

Pure.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from devbox_api import names
from devbox_operator.kit.encoding import parse_time
from devbox_operator.report.problem import Problem
from devbox_operator.seen.index import Source
from devbox_operator.seen.secrets import StoredView


def until(stored: StoredView, seconds: float, now: datetime) -> datetime:
    """When it goes: as was written when this began, but never later than so many seconds from now. (A clock may have been ahead.)"""
    latest = now + timedelta(seconds=max(0.0, seconds))
    try:
        written = parse_time(stored.annotations.get(names.KEPT_UNTIL_ANNOTATION))
    except ValueError:
        return now  # nobody but us writes there
    return latest if written is None else min(written, latest)


def names_of(source: Source, mirrored: Mapping[str, str]) -> frozenset[str]:
    """The credentials that may stand for a source; `mirrored`: those made from its Secret."""
    if source.key is None:
        return frozenset(mirrored)
    return frozenset({names.credential_name(source.namespace, source.name, source.key)} & mirrored.keys())


def told(problem: Problem, source: Source, mirrored: Mapping[str, str]) -> Problem:
    """The problem, which also says that what was there before is in use, and until when."""
    times = [mirrored[name] for name in names_of(source, mirrored) if mirrored[name]] if problem.keeps else []
    if not times:
        return problem
    return replace(problem, message=f"{problem.message}; what was read before is still in use, until {max(times)}")
