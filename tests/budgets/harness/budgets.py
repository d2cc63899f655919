"""The budgets: read from their file, held, and written anew. What is pure of it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

FILE = Path(__file__).parents[1] / "budgets.toml"
# By how much a figure may be above its budget: what runs and machines differ by, and a little (docs/performance.md).
MARGINS: Mapping[str, tuple[float, float]] = {
    # Of the budget, and beside that.
    "instructions": (0.05, 0),
    "allocations": (0, 0.25),
    "socket_calls": (0, 0.25),
    "wakes": (0, 0.25),
}
_REASON = re.compile(r"(?P<figure>\d+(\.\d+)?): (?P<why>\S.*)")

Budgets = dict[tuple[str, str], "Budget"]


@dataclass(frozen=True)
class Budget:
    """What one figure may be, `now`, and what it was at its best. Each rise since then has its line."""

    figure: str
    least: float
    now: float
    raised: tuple[str, ...] = ()

    @property
    def most(self) -> float:
        relative, absolute = MARGINS[self.figure]
        return self.now * (1 + relative) + absolute

    def problem(self) -> str | None:
        """Why it cannot be a budget, if so."""
        last = self.least
        for line in self.raised:
            found = _REASON.fullmatch(line)
            if not found:
                return f"{line!r} is not `FIGURE: REASON`"
            if float(found["figure"]) <= last:
                return f"{line!r} is no rise: it was {last:g} before"
            last = float(found["figure"])
        if self.now != last:
            return f"`now` is {self.now:g}, and `least` with `raised` says {last:g}: a rise takes a line of reason"
        return None

    def updated(self, measured: float, reason: str | None) -> Budget:
        """One that `measured` fits. A rise beyond the margin takes a reason; what is less than before takes none."""
        figure = round(measured) if self.figure == "instructions" else round(measured, 1)
        if figure <= self.least:
            return replace(self, least=figure, now=figure, raised=())
        if figure < self.now:
            why = self.raised[-1].partition(": ")[2]
            lower = tuple(line for line in self.raised if float(line.partition(":")[0]) < figure)
            return replace(self, now=figure, raised=(*lower, f"{_number(figure)}: {why}"))
        if measured <= self.most:
            return self
        if not reason:
            raise ValueError(f"{self.figure}: {figure:g} is more than {self.most:g}: a rise takes a --reason")
        return replace(self, now=figure, raised=(*self.raised, f"{_number(figure)}: {reason}"))


def read(text: str) -> Budgets:
    """By work and figure."""
    return {
        (work, figure): Budget(figure, entry["least"], entry["now"], tuple(entry.get("raised", ())))
        for work, figures in tomllib.loads(text).items()
        for figure, entry in figures.items()
    }


def written(text: str, budgets: Budgets) -> str:
    """The file with these budgets instead of its own, and with what it begins with."""
    parts = [text[: text.index("\n\n[")]]
    for work in dict.fromkeys(work for work, _ in budgets):
        parts.append(f"\n[{work}]")
        parts += [f"{figure} = {_entry(budget)}" for (of, figure), budget in budgets.items() if of == work]
    return "\n".join(parts) + "\n"


def _entry(budget: Budget) -> str:
    lines = ", ".join('"' + line.replace("\\", "\\\\").replace('"', '\\"') + '"' for line in budget.raised)
    raised = f", raised = [{lines}]" if lines else ""
    return f"{{ least = {_number(budget.least)}, now = {_number(budget.now)}{raised} }}"


def _number(figure: float) -> str:
    return str(int(figure)) if figure == int(figure) else str(figure)
