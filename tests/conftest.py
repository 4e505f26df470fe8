"""What every test can have: the project's folder, and a report that tells what went wrong in the cluster."""

import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from tests.support import NAMESPACES

from devbox_cluster.paths import kubeconfig
from devbox_stage.diagnosis import diagnose
from devbox_stage.kubectl import Kubectl
from devbox_stage.stage import RELEASE_NAMESPACE

# A shell's job in the background has Ctrl-C ignored, and so has all that it starts: what tests send then goes nowhere.
for _number, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)

# How long an example takes says something about the machine alone.
hypothesis.settings.register_profile(
    "ours", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("ours")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Messages of TLS have random bytes: as part of a test's name they would give each worker of pytest-xdist tests of its own."""
    return argname if isinstance(val, bytes) and len(val) > 40 else None


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The work tree."""
    return Path(__file__).resolve().parents[1]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failing test that worked in the cluster shows objects, events and logs."""
    report: pytest.TestReport = yield  # type: ignore[assignment]
    if report.failed and (namespaces := item.stash.get(NAMESPACES, [])):
        for title, text in diagnose(Kubectl(kubeconfig()), namespaces, RELEASE_NAMESPACE):
            report.sections.append((title, text))
    return report  # type: ignore[return-value]
