"""The client as it is installed: one wheel, light, with nothing of the server's but what it says."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from tests.support.client_environment import build_wheel

REFUSED = ("kopf", "pydantic", "kubernetes", "structlog", "devbox_common", "devbox_operator", "devbox_proxy")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def python(wheel: Path, code: str) -> str:
    """Run with the wheel and its dependencies alone."""
    library = sysconfig.get_path("purelib")
    block = f"import sys; sys.path[:0] = [{str(wheel)!r}, {library!r}]; sys.modules.update(dict.fromkeys({REFUSED!r}))\n"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", block + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_in_it(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "devbox_gateway/__init__.py",
        "devbox_gateway/py.typed",
        "devbox_api/names.py",
        "devbox_api/judge/hosts.py",
    } <= names
    shared = {name for name in names if name.startswith("devbox_api/") and not name.startswith("devbox_api/judge/")}
    assert shared == {"devbox_api/__init__.py", "devbox_api/names.py"}


def test_its_commands(wheel: Path) -> None:
    """As kubectl finds them: a plugin, and what completes it."""
    with zipfile.ZipFile(wheel) as content:
        (name,) = (name for name in content.namelist() if name.endswith("entry_points.txt"))
        assert content.read(name).decode().split() == [
            *("[console_scripts]", "kubectl-devbox", "=", "devbox_gateway.cli.app:main"),
            *("kubectl_complete-devbox", "=", "devbox_gateway.cli.kubectl_complete:main"),
        ]
    code = "from devbox_gateway.cli.app import run; assert run(['--help']) == 0"
    assert "Usage: kubectl devbox" in python(wheel, code)


def test_it_works_with_its_own_dependencies_alone(wheel: Path) -> None:
    code = "import devbox_gateway as d; print(d.AsyncDevboxGateway.__name__, d.DevboxGateway.__name__, d.__version__)"
    assert python(wheel, code).split()[:2] == ["AsyncDevboxGateway", "DevboxGateway"]


def test_importing_it_loads_next_to_nothing(wheel: Path) -> None:
    """Its bars, 0.25 s and 40 MiB, are measured by bench/client_import.py; here, that what is slow is not loaded."""
    code = "import devbox_gateway; print([name for name in ('aiohttp', 'yaml', 'asyncio', 'tenacity', 'ssl') if name in sys.modules])"
    assert python(wheel, code).strip() == "[]"
