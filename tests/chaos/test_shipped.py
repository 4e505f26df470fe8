"""What is tested is what is shipped: the gateway of these tests has the image's interpreter, libraries and machine code, and no others."""

import os
from pathlib import Path

import pytest
from tests.support import image_root

from .world import world

pytestmark = pytest.mark.skipif(
    not os.environ.get(image_root.VARIABLE), reason="the sources run here; make chaos-short runs what is shipped"
)


def code_of(pid: int) -> set[str]:
    """Files with machine code that a process has mapped."""
    lines = (line.split(maxsplit=5) for line in Path(f"/proc/{pid}/maps").read_text().splitlines())
    return {line[5] for line in lines if len(line) == 6 and "x" in line[1] and line[5].startswith("/")}


def root_of(pid: int) -> Path:
    """What it takes for the root of all files."""
    return Path(f"/proc/{pid}/root").readlink()


async def test_the_gateway_is_the_images() -> None:
    async with world() as stage:
        pid = stage.gateway.process.process.pid
        assert root_of(pid) == image_root.INSIDE
        mapped = code_of(pid)
    inside = f"{image_root.INSIDE}/"
    assert not [path for path in mapped if not path.startswith(inside)]
    for part in ("/usr/bin/python3", "/libssl.so.3", image_root.APP):
        assert any(part in path for path in mapped), f"{part} is not mapped: {sorted(mapped)}"


async def test_it_can_write_nowhere_but_where_tests_do() -> None:
    with pytest.raises(OSError, match="Read-only file system"):
        (image_root.INSIDE / "opt" / "devbox-gateway" / "new").touch()
