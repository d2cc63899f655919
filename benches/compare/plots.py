"""Horizontal bars in SVG, readable on light and on dark pages: a group for each contestant, a bar for each series."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from tables import KEPT_PERCENT
from works import Samples

WIDTH = 760
LEFT, RIGHT = 200, 70
TOP, BOTTOM = 74, 44
BAR, GAP = 13, 12
TICKS = 6

STYLE = """
.page { fill: #ffffff } .text { fill: #1f2937 } .quiet { fill: #6b7280 } .line { stroke: #d1d5db } .ends { stroke: #111827 }
.s0 { fill: #2563eb } .s1 { fill: #d97706 } .s2 { fill: #059669 }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 } .text { fill: #e5e7eb } .quiet { fill: #9ca3af } .line { stroke: #374151 } .ends { stroke: #f9fafb }
.s0 { fill: #60a5fa } .s1 { fill: #fbbf24 } .s2 { fill: #34d399 }
}
"""


@dataclass(frozen=True)
class Plot:
    file: str
    title: str
    unit: str
    # Metric and what it is called.
    series: tuple[tuple[str, str], ...]
    logarithmic: bool = False

    def svg(self, names: Sequence[str], samples: Samples) -> str | None:
        """None where nobody has any of the figures."""
        rows = [name for name in names if any(samples.get(name, {}).get(metric) for metric, _ in self.series)]
        known = [value for name in rows for metric, _ in self.series for value in self._values(samples, name, metric)]
        if not known:
            return None
        axis = Axis(min(known), max(known), logarithmic=self.logarithmic)
        height = TOP + len(rows) * (len(self.series) * BAR + GAP) + BOTTOM
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
            'role="img" font-family="system-ui, sans-serif" font-size="12">',
            f"<title>{escape(self.title)}</title><style>{STYLE}</style>",
            '<rect class="page" width="100%" height="100%"/>',
            f'<text class="text" x="14" y="26" font-size="16">{escape(self.title)}</text>',
            *self._legend(),
            *self._grid(axis, height),
        ]
        for row, name in enumerate(rows):
            parts += self._group(axis, TOP + row * (len(self.series) * BAR + GAP), name, samples)
        return "\n".join([*parts, "</svg>\n"])

    def _legend(self) -> list[str]:
        parts, x = [], 14
        for number, (_, label) in enumerate(self.series):
            parts.append(f'<rect class="s{number}" x="{x}" y="40" width="11" height="11"/>')
            parts.append(f'<text class="text" x="{x + 16}" y="50">{escape(label)}</text>')
            x += 40 + 7 * len(label)
        return parts

    def _grid(self, axis: Axis, height: int) -> list[str]:
        parts = []
        for tick in axis.ticks:
            x = axis.x(tick)
            parts.append(f'<line class="line" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{height - BOTTOM}"/>')
            parts.append(
                f'<text class="quiet" x="{x:.1f}" y="{height - BOTTOM + 15}" text-anchor="middle">{tick:,g}</text>'
            )
        middle = (LEFT + WIDTH - RIGHT) / 2
        unit = self.unit + (", logarithmic" if self.logarithmic else "")
        parts.append(f'<text class="quiet" x="{middle}" y="{height - 10}" text-anchor="middle">{escape(unit)}</text>')
        return parts

    def _group(self, axis: Axis, y: int, name: str, samples: Samples) -> list[str]:
        middle = y + len(self.series) * BAR / 2 + 4
        parts = [f'<text class="text" x="{LEFT - 8}" y="{middle}" text-anchor="end">{escape(name)}</text>']
        for number, (metric, _) in enumerate(self.series):
            values, top = self._values(samples, name, metric), y + number * BAR
            if not values:
                why = "overloaded" if samples.get(name, {}).get(metric) else "–"
                parts.append(f'<text class="quiet" x="{LEFT + 4}" y="{top + BAR - 3}" font-size="11">{why}</text>')
                continue
            median, least, most = statistics.median(values), min(values), max(values)
            end, centre = axis.x(median), top + BAR / 2 - 0.5
            parts.append(
                f'<rect class="s{number}" x="{LEFT}" y="{top}" width="{max(end - LEFT, 1):.1f}" height="{BAR - 2}"/>'
            )
            if most > least:
                parts.append(
                    f'<line class="ends" x1="{axis.x(least):.1f}" x2="{axis.x(most):.1f}" y1="{centre}" y2="{centre}"/>'
                )
            beside = max(end, axis.x(most)) + 4
            parts.append(f'<text class="text" x="{beside:.1f}" y="{top + BAR - 3}" font-size="11">{short(median)}</text>')
        return parts

    @staticmethod
    def _values(samples: Samples, name: str, metric: str) -> list[float]:
        figures = samples.get(name, {})
        kept = figures.get(f"{metric.split('.')[0]}.kept")
        return [] if kept and statistics.median(kept) < KEPT_PERCENT else figures.get(metric, [])


class Axis:
    """From zero, or by powers of ten, to a round number at or above the most."""

    def __init__(self, least: float, most: float, *, logarithmic: bool) -> None:
        if logarithmic:
            low, high = math.floor(math.log10(least)), math.ceil(math.log10(most))
            self.ticks = [10.0**power for power in range(low, max(high, low + 1) + 1)]
            self._place = lambda value: (math.log10(value) - low) / (len(self.ticks) - 1)
        else:
            step = round_step(most / (TICKS - 1))
            self.ticks = [step * number for number in range(math.ceil(round(most / step, 9)) + 1)]
            self._place = lambda value: value / self.ticks[-1]

    def x(self, value: float) -> float:
        return LEFT + self._place(value) * (WIDTH - RIGHT - LEFT)


def round_step(least: float) -> float:
    """The smallest of 1, 2 and 5 by a power of ten that is not below it."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


PLOTS = (
    Plot(
        "gets.svg",
        "CPU time of small GETs",
        "CPU seconds per 100,000 requests, all processes of a contestant",
        (("get64.cpu", "64 connections"), ("get1.cpu", "1 connection")),
    ),
    Plot(
        "latency.svg",
        "Latency at 80 % of HAProxy's saturation, constant rate",
        "µs from when a request was due to its answer",
        (("open80.p50", "p50"), ("open80.p99", "p99"), ("open80.p999", "p99.9")),
        logarithmic=True,
    ),
    Plot(
        "bodies.svg",
        "CPU time of blobs, 8 streams",
        "CPU seconds per GiB, all processes of a contestant",
        (("down8.cpu", "down"), ("up8.cpu", "up")),
    ),
    Plot(
        "connections.svg",
        "Memory of idle connections",
        "KiB per connection",
        (("idle1000.kib", "1,000 connections"), ("idle5000.kib", "5,000 connections")),
    ),
)
