"""The benchmark's pure part: medians, ratios and the chart."""

from bench.load import Rate
from bench.report import GATEWAY, chart, median, ratios


def test_ratios_are_of_medians_and_of_the_servers_that_ran() -> None:
    rates = {
        GATEWAY: {32: [Rate(90, 1, 2, 0), Rate(100, 1, 2, 0), Rate(900, 1, 2, 0)], 1: []},
        "envoy": {32: [Rate(200, 1, 2, 0)], 1: []},
    }
    assert median(rates[GATEWAY][32]).per_second == 100
    assert ratios(rates) == {"envoy": 0.5}
    assert "100</text>" in chart({"in clear": rates})
