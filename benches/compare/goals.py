"""Whether the goals are reached: a ratio of two contestants' figures, or one figure."""

from __future__ import annotations

import statistics
import tomllib
from dataclasses import dataclass
from pathlib import Path

from works import Samples

FILE = Path(__file__).with_name("goals.toml")


@dataclass(frozen=True)
class Goal:
    work: str
    of: str
    reach: float
    rest: str
    over: str | None = None
    beyond: float | None = None
    # Whether more is better.
    least: bool = False

    def figures(self, samples: Samples) -> list[float]:
        """One a round, so that what slows all of a round down does not change it. None without both contestants."""
        of = _figures(samples, self.of)
        if not self.over:
            return of
        over = _figures(samples, self.over)
        return [figure / base for figure, base in zip(of, over, strict=False) if base]

    def verdict(self, figure: float) -> str:
        for word, bound in (("beyond", self.beyond), ("reached", self.reach)):
            if bound is not None and (figure >= bound if self.least else figure <= bound):
                return word
        return "missed"


def load_goals() -> list[Goal]:
    return [Goal(**entry) for entry in tomllib.loads(FILE.read_text())["goal"]]


def table(goals: list[Goal], samples: Samples) -> str:
    """The goals that there are figures for."""
    lines = ["| work | now | reach | beyond | | where the rest goes |", "|---|---|---|---|---|---|"]
    for goal in goals:
        if not (figures := goal.figures(samples)):
            continue
        now = statistics.median(figures)
        spread = f" ({number(min(figures))}–{number(max(figures))})" if len(figures) > 1 else ""
        verdict = goal.verdict(float(number(now).replace(",", "")))
        sign = "≥" if goal.least else "≤"
        beyond = "" if goal.beyond is None else f"{sign} {goal.beyond:g}"
        rest = (goal.rest or "not known yet") if verdict == "missed" else ""
        lines.append(
            f"| {goal.work} | {number(now)}{spread} | {sign} {goal.reach:g} | {beyond} | {_marked(verdict)} | {rest} |"
        )
    return "\n".join(lines)


def number(value: float) -> str:
    """Three digits that count, as a reader wants them."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _marked(verdict: str) -> str:
    return f"**{verdict}**" if verdict == "missed" else verdict


def _figures(samples: Samples, which: str) -> list[float]:
    contestant, metric = which.split(": ")
    return list(samples.get(contestant, {}).get(metric, []))
