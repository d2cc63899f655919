"""Line charts as plain SVG: small, readable on a light and on a dark page, each line named where it ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 410
LEFT, RIGHT, TOP, BOTTOM = 66, 186, 70, 52
# Names at the ends of lines are at least so far apart.
LINE_HEIGHT = 16
COLOURS = 5
_STYLE = """
svg { --paper: #ffffff; --ink: #1f2937; --faint: #e5e7eb; --soft: #5b6472;
  --c0: #1d4ed8; --c1: #c2410c; --c2: #0f766e; --c3: #7c3aed; --c4: #a16207; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #0d1117; --ink: #e6edf3; --faint: #2b323b; --soft: #9aa6b2;
    --c0: #79a8ff; --c1: #ff9d5c; --c2: #4fd1b5; --c3: #c4a7ff; --c4: #e3c15a; }
}
text { font: 13px sans-serif; fill: var(--ink); }
.title { font-size: 16px; font-weight: 600; }
.tick { font-size: 12px; fill: var(--soft); }
.grid { stroke: var(--faint); }
.line { fill: none; stroke-width: 2; }
.dashed { stroke-dasharray: 6 4; }
"""
for number in range(COLOURS):
    _STYLE += f".l{number} {{ stroke: var(--c{number}); }} .f{number} {{ fill: var(--c{number}); }}\n"


@dataclass(frozen=True)
class Line:
    name: str
    points: Sequence[tuple[float, float]]
    colour: int
    dashed: bool = False
    # Dots alone: what was measured, beside what was computed.
    dots: bool = False


@dataclass(frozen=True)
class Axis:
    name: str
    ticks: Sequence[float]
    logarithmic: bool = True
    shown: Callable[[float], str] = lambda value: f"{value:,.10g}"

    def part(self, value: float) -> float:
        """Where a value is between the first tick and the last."""
        low, high = self.ticks[0], self.ticks[-1]
        if self.logarithmic:
            return math.log(max(value, low) / low) / math.log(high / low)
        return (value - low) / (high - low)


@dataclass(frozen=True)
class Chart:
    title: str
    x: Axis
    y: Axis
    lines: Sequence[Line]

    def svg(self) -> str:
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
            f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
            f"<title>{escape(self.title)}</title>",
            f"<style>{_STYLE}</style>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" rx="6" style="fill: var(--paper)"/>',
            f'<text class="title" x="16" y="28">{escape(self.title)}</text>',
            *self._grid(),
            *(part for line in self.lines for part in self._line(line)),
            *self._names(),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def _at(self, x: float, y: float) -> tuple[float, float]:
        across, up = self.x.part(x), self.y.part(y)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    def _grid(self) -> list[str]:
        floor, middle = HEIGHT - BOTTOM, (LEFT + WIDTH - RIGHT) / 2
        parts = []
        for tick in self.y.ticks:
            _, y = self._at(self.x.ticks[0], tick)
            parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
            shown = escape(self.y.shown(tick))
            parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{shown}</text>')
        for tick in self.x.ticks:
            x, _ = self._at(tick, self.y.ticks[0])
            parts.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{floor}"/>')
            shown = escape(self.x.shown(tick))
            parts.append(f'<text class="tick" x="{x:.1f}" y="{floor + 18}" text-anchor="middle">{shown}</text>')
        parts.append(f'<text class="tick" x="{middle}" y="{HEIGHT - 12}" text-anchor="middle">{escape(self.x.name)}</text>')
        parts.append(f'<text class="tick" x="{LEFT - 50}" y="{TOP - 16}">{escape(self.y.name)}</text>')
        return parts

    def _line(self, line: Line) -> list[str]:
        places = [self._at(x, y) for x, y in line.points]
        radius = 4.5 if line.dots else 2.5
        dots = [f'<circle class="f{line.colour}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>' for x, y in places]
        if line.dots:
            return dots
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        kind = " dashed" if line.dashed else ""
        return [f'<polyline class="line l{line.colour}{kind}" points="{way}"/>', *dots]

    def _names(self) -> list[str]:
        """At the height of each line's end, or as near to it as the others leave room."""
        ends = sorted((self._at(*line.points[-1])[1], number) for number, line in enumerate(self.lines))
        heights: dict[int, float] = {}
        least = 0.0
        for height, number in ends:
            heights[number] = least = max(height, least + LINE_HEIGHT)
        # Those that were pushed below the floor push the others up.
        most = HEIGHT - BOTTOM - 4.0
        for height, number in sorted(((height, number) for number, height in heights.items()), reverse=True):
            heights[number] = most = min(height, most)
            most -= LINE_HEIGHT
        x = WIDTH - RIGHT + 10
        return [
            f'<text class="f{line.colour}" style="fill: var(--c{line.colour})" x="{x}" y="{heights[number] + 4:.1f}">'
            f"{escape(line.name)}</text>"
            for number, line in enumerate(self.lines)
        ]
