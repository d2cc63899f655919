"""What was measured, as Markdown: one table for each kind of work."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from goals import number
from works import SHARES, STREAMS, Samples

# An open loop that gets fewer answers than this share of what it asks for has no latency worth a number.
KEPT_PERCENT = 97


@dataclass(frozen=True)
class Column:
    metric: str
    heading: str
    # How far rounds lie apart is shown with it: half the way from the least to the most.
    spread: bool = False

    def cell(self, figures: dict[str, list[float]]) -> str:
        values = figures.get(self.metric)
        if not values:
            return "–"
        kept = figures.get(f"{self.metric.split('.')[0]}.kept")
        if kept and statistics.median(kept) < KEPT_PERCENT:
            return "overloaded"
        half = (max(values) - min(values)) / 2
        spread = f" ± {number(half)}" if self.spread and len(values) > 1 else ""
        return number(statistics.median(values)) + spread


@dataclass(frozen=True)
class Table:
    title: str
    note: str
    columns: tuple[Column, ...]

    def of(self, names: Sequence[str], samples: Samples) -> str | None:
        """A row for each contestant that took part, and a column for each figure that anybody has."""
        columns = [column for column in self.columns if any(samples.get(name, {}).get(column.metric) for name in names)]
        rows = [name for name in names if any(samples.get(name, {}).get(column.metric) for column in columns)]
        if not rows:
            return None
        lines = ["| | " + " | ".join(column.heading for column in columns) + " |", "|---" * (len(columns) + 1) + "|"]
        lines += [f"| {name} | " + " | ".join(column.cell(samples[name]) for column in columns) + " |" for name in rows]
        return f"### {self.title}\n\n{self.note}\n\n" + "\n".join(lines)


def _small(connections: int) -> tuple[Column, ...]:
    at = f"get{connections}"
    return (
        Column(f"{at}.rate", f"GETs/s, {connections}"),
        Column(f"{at}.cpu", f"CPU s per 100k, {connections}", spread=True),
    )


def _bodies(*ways: str) -> tuple[Column, ...]:
    columns = []
    for way in ways:
        for streams in STREAMS:
            columns.append(Column(f"{way}{streams}.cpu", f"CPU s per GiB {way}, {streams}", spread=True))
            columns.append(Column(f"{way}{streams}.rate", f"MiB/s {way}, {streams}"))
    return tuple(columns)


def _repeated(metric: str, what: str, each: str) -> tuple[Column, ...]:
    return (
        Column(f"{metric}.rate", f"{what}/s"),
        Column(f"{metric}.cpu", f"CPU ms per {each}", spread=True),
        Column(f"{metric}.p50", "p50 ms"),
    )


LATENCY = (
    Column("get64.p50", "p50 µs, 64"),
    Column("get64.p99", "p99 µs, 64"),
    Column("get1.p50", "p50 µs, 1", spread=True),
)

TABLES = (
    Table(
        "Small GETs",
        "By 64, 8 and 1 connections. What has all of its CPU is the limit; what has less waits for load and upstream.",
        (*_small(64), Column("get64.busy", "% of its CPU, 64"), *_small(8), *_small(1), *LATENCY),
    ),
    Table(
        "Small GETs at a constant rate",
        "In % of what HAProxy answers at saturation, µs from when a request was due. *Overloaded*: too slow for the "
        "rate, so that requests wait for longer and longer.",
        tuple(
            Column(f"open{share}.{percentile}", f"{name}, {share} %", spread=percentile == "p99")
            for share in SHARES
            for percentile, name in (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9"))
        ),
    ),
    Table("Bodies", "Blobs of 64 MiB, on 8 streams and on 1.", _bodies("down", "up")),
    Table("Pulls", "Eight pullers at a time; each pull has connections of its own.", _repeated("pull", "pulls", "pull")),
    Table(
        "A handshake for each request",
        "A new connection with a whole TLS handshake, one GET, and its end.",
        _repeated("churn", "connections", "connection"),
    ),
    Table(
        "Idle connections, and the start",
        "Memory of the process that clients are connected to, of 1,000 and of 5,000 connections that were each served "
        "one request; from the start of the process to its first answer, for shardlet until it says that it is ready.",
        (
            Column("start.ms", "ms to ready", spread=True),
            Column("start.mib", "MiB at start"),
            Column("idle200.kib", "KiB per connection, 200"),
            Column("idle1000.kib", "KiB per connection, 1,000"),
            Column("idle5000.kib", "KiB per connection, 5,000"),
        ),
    ),
)
ZOT_TABLE = Table(
    "Beside zot's own cluster hop",
    "Two zots; CPU time is that of all processes on the way, with the zot that serves.",
    (*_small(64), *_small(1), Column("get1.p50", "p50 µs, 1", spread=True), *_bodies("down")),
)
