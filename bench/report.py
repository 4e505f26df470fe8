"""Figures to a table, a JSON file and a chart. Pure, but for writing the files."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from .load import Rate, Stream

GATEWAY: Final = "gateway"
OTHERS: Final = ("nginx", "nginx_auth_request", "envoy", "envoy_ext_authz", "aiohttp")
Rates = Mapping[str, Mapping[int, Sequence[Rate]]]
"""Server → connections → one for each round."""


def median(rates: Sequence[Rate]) -> Rate:
    """Of each figure by itself."""
    columns = zip(*rates, strict=True)
    return Rate(*(statistics.median(column) for column in columns))


def ratios(rates: Rates, connections: int = 32) -> dict[str, float]:
    """The gateway's requests per second divided by another's."""
    own = median(rates[GATEWAY][connections]).per_second
    return {name: round(own / median(rates[name][connections]).per_second, 3) for name in OTHERS if rates.get(name)}


def document(rates: Rates, streams: Mapping[str, Stream]) -> dict[str, Any]:
    """One half of the run as JSON."""
    return {
        "requests": {
            name: {str(count): median(rounds)._asdict() for count, rounds in by.items()} for name, by in rates.items()
        },
        "streams": {name: one._asdict() for name, one in streams.items()},
    }


def show(title: str, rates: Rates, streams: Mapping[str, Stream], console: Console) -> None:
    """The table."""
    table = Table(title=title, title_justify="left")
    table.add_column("server")
    for text in ("req/s c=32", "p50", "p99", "req/s c=1", "p50", "p99", "gateway ÷ it", "first event", "delay", "p99"):
        table.add_column(text, justify="right")
    shares = ratios(rates)
    for name, by in rates.items():
        cells = []
        for count in (32, 1):
            one = median(by[count])
            cells += [f"{one.per_second:,.0f}", f"{one.p50 * 1e3:.2f} ms", f"{one.p99 * 1e3:.2f} ms"]
        event = streams.get(name)
        cells.append(f"{shares[name]:.2f}" if name in shares else "")
        cells += [f"{part * 1e3:.2f} ms" for part in event] if event else ["", "", ""]
        table.add_row(name, *cells)
    console.print(table)


def chart(halves: Mapping[str, Rates]) -> str:
    """Bars of requests per second at c=32, as SVG."""
    rows = [
        (f"{name}, {title}", median(by[32]).per_second, name) for title, rates in halves.items() for name, by in rates.items()
    ]
    rows = [row for row in rows if row[2] != "upstream"]
    most = max(value for _, value, _ in rows)
    height = 22 * len(rows) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="720" height="{height}" font-family="sans-serif" font-size="12">',
        '<text x="10" y="18" font-weight="bold">Requests per second on one core, 32 connections</text>',
    ]
    for number, (label, value, name) in enumerate(rows):
        y, width = 30 + 22 * number, 400 * value / most
        colour = "#1a7f37" if name == GATEWAY else "#8c959f"
        parts.append(f'<text x="10" y="{y + 13}">{label}</text>')
        parts.append(f'<rect x="230" y="{y}" width="{width:.0f}" height="17" fill="{colour}"/>')
        parts.append(f'<text x="{236 + width:.0f}" y="{y + 13}">{value:,.0f}</text>')
    return "\n".join([*parts, "</svg>", ""])


def write(folder: Path, content: Mapping[str, Any], halves: Mapping[str, Rates]) -> None:
    """gateway.json and gateway.svg."""
    folder.mkdir(exist_ok=True)
    (folder / "gateway.json").write_text(json.dumps(content, indent=2) + "\n")
    (folder / "gateway.svg").write_text(chart(halves))
