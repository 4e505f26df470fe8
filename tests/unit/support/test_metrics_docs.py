"""docs/metrics.md has every metric of both programs, with its labels and what it says of itself."""

import re
from types import ModuleType
from typing import Final

import pytest
from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase
from tests.support.pages import PROJECT

from devbox_operator.kit import metrics as operator
from devbox_proxy.kit import metrics as gateway

PAGE: Final = (PROJECT / "docs" / "metrics.md").read_text(encoding="utf-8")


def rows(module: ModuleType) -> set[str]:
    """As the page has them."""
    made = [one for one in vars(module).values() if isinstance(one, MetricWrapperBase)]
    found = [(next(iter(one.describe())), one._labelnames) for one in made]
    if module is gateway:
        found += [(family, family._labelnames) for family in gateway.ByGateway().families()]
    return {
        f"| `{name(metric)}` | {', '.join(f'`{each}`' for each in labels)} | {metric.documentation} |"
        for metric, labels in found
    }


def name(metric: Metric) -> str:
    """As Prometheus has it; of a histogram the part that its series have in common."""
    return f"{metric.name}_total" if metric.type == "counter" else str(metric.name)


@pytest.mark.parametrize(("module", "prefix"), [(gateway, "devbox_gateway"), (operator, "devbox_operator")])
def test_the_page_has_every_metric(module: ModuleType, prefix: str) -> None:
    told = set(re.findall(rf"^\| `{prefix}_\w+` \| .* \| .* \|$", PAGE, re.MULTILINE))
    assert told == rows(module), "paste these rows into docs/metrics.md"
