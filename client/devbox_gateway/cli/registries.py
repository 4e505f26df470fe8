"""Which package registries this machine uses: what devboxes will most likely want to reach, too.

Goes in: the environment, the settings of pip, uv and npm. Comes out: hosts. Nobody is asked, and no program is run.
"""

import configparser
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from devbox_api.judge.hosts import is_pattern

VARIABLES: Final = (
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    *("NPM_CONFIG_REGISTRY", "npm_config_registry"),
)
_PIP: Final = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf", "~/Library/Application Support/pip/pip.conf")
_NPM: Final = re.compile(r"^\s*(?:@[^:=\s]+:)?registry\s*=\s*(\S+)", re.M)


def hosts(environ: Mapping[str, str], home: Path, root: Path = Path("/")) -> list[str]:
    """Each once."""
    found = (urlsplit(url).hostname or "" for url in _urls(environ, home, root))
    return sorted({host.lower() for host in found if "." in host and is_pattern(host)})


def _urls(environ: Mapping[str, str], home: Path, root: Path) -> Iterator[str]:
    for name in VARIABLES:
        yield from environ.get(name, "").split()
    for name in _PIP:
        settings = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            settings.read_string(_text(name, home, root))
        except configparser.Error:
            continue
        for section in settings.values():
            for key in ("index-url", "extra-index-url"):
                yield from section.get(key, "").split()
    yield from (found[1].strip("'\"") for found in _NPM.finditer(_text("~/.npmrc", home, root)))


def _text(name: str, home: Path, root: Path) -> str:
    path = home / name[2:] if name.startswith("~/") else root / name.lstrip("/")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
