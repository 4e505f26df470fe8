"""The gateway's data path as machine code: mypyc compiles the very modules that Python would read, and they run half as long.

Goes in: the work tree. Comes out: what the image's build compiles (stage `machine-code` of images/devbox-gateway/Dockerfile) inside the
image's own base: the same Python, C library and settings. Without it everything works, slower.
"""

import os
import shutil
from pathlib import Path
from typing import Final

from .paths import PROJECT

WINGS: Final = (
    *(f"proxy/devbox_proxy/{wing}" for wing in ("wire", "decide", "accounting", "upstreams", "requests", "tunnels")),
    "crds/devbox_api/judge",
)
"""What a request, or a tunnel, passes through: a file that is new there is compiled without being named."""
SINGLE: Final = (
    *(
        f"proxy/devbox_proxy/kit/{module}.py"
        for module in ("dialling", "ids", "lines", "memory", "metrics", "ticks", "transports")
    ),
    *(f"proxy/devbox_proxy/known/{module}.py" for module in ("apis", "credentials", "facts")),
    "proxy/devbox_proxy/reviews/waiting.py",
    "common/devbox_common/clock.py",
    "crds/devbox_api/names.py",
)
"""Of the other wings what is on the way as well. The rim (settings, watches, ports) is not worth the time."""
PACKAGES: Final = ("proxy/devbox_proxy", "common/devbox_common", "crds/devbox_api")
"""What the gateway runs: the compiler reads all of it for the types."""
SETTINGS: Final = "pyproject.toml"
"""The compiler's, too."""
COPIED_SETTINGS: Final = "mypy.toml"
"""In the folder of sources, where setuptools would take the other name for its own."""
MODULES: Final = "modules"
"""The file that names what is compiled, in the folder of sources."""


def files(project: Path = PROJECT) -> list[str]:
    """What is compiled, in the project."""
    found = [str(path.relative_to(project)) for wing in WINGS for path in sorted((project / wing).glob("[!_]*.py"))]
    return [*found, *SINGLE]


def lay_out(project: Path, target: Path) -> None:
    """Write the folder of sources that the image's build copies. Times are all the same, so that the same sources are one layer."""
    shutil.rmtree(target, ignore_errors=True)
    for package in PACKAGES:
        shutil.copytree(project / package, target / Path(package).name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(project / SETTINGS, target / COPIED_SETTINGS)
    (target / MODULES).write_text("".join(f"{file.partition('/')[2]}\n" for file in files(project)))
    for path in (target, *target.rglob("*")):
        os.utime(path, (0, 0))
