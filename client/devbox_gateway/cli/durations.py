"""Times as people type them: 30s, 10m, 2h, 1d."""

import re
from typing import Final

import click

from devbox_gateway.objects.devbox_spec import LIVES_SECONDS

_TIME: Final = re.compile(r"(\d{1,9})([smhd]?)")
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    """For an option's callback. Raises click.BadParameter."""
    if text is None:
        return None
    found = _TIME.fullmatch(text)
    if found is None or (value := int(found[1]) * _UNITS[found[2]]) <= 0:
        raise click.BadParameter("write e.g. 30s, 10m, 2h")
    return value


def to_live(ctx: click.Context, option: click.Parameter, text: str | None) -> int | None:
    """Likewise, of a devbox's time to live."""
    found = seconds(ctx, option, text)
    least, most = LIVES_SECONDS
    if found is not None and not least <= found <= most:
        raise click.BadParameter("write a time from 60s to 90d, e.g. 30m, 24h, 7d")
    return found
