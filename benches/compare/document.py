"""A finished run: kept as JSON, shown as Markdown, and put into docs/performance.md with its plots."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import goals
from plots import PLOTS
from tables import TABLES, ZOT_TABLE
from works import Samples

BEGIN, END = "<!-- comparison: begin -->", "<!-- comparison: end -->"
FOLDER = "performance"


@dataclass(frozen=True)
class Results:
    # What was measured, on what, and how.
    about: str
    names: list[str]
    zot_names: list[str]
    samples: Samples

    def save(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(vars(self), indent=1))

    @staticmethod
    def load(file: Path) -> Results:
        return Results(**json.loads(file.read_text()))

    def markdown(self) -> str:
        parts = [self.about, "### Goals", goals.table(goals.load_goals(), self.samples)]
        tables = [table.of(self.names, self.samples) for table in TABLES]
        tables.append(ZOT_TABLE.of(self.zot_names, self.samples))
        return "\n\n".join([*parts, *filter(None, tables)])

    def plots(self) -> dict[str, tuple[str, str]]:
        """By file name, the title and the picture."""
        drawn = {plot.file: (plot.title, plot.svg(self.names, self.samples)) for plot in PLOTS}
        return {file: (title, svg) for file, (title, svg) in drawn.items() if svg}

    def write_into(self, document: Path) -> None:
        """Replaces what is between the markers, and the plots."""
        text = document.read_text()
        folder = document.parent / FOLDER
        folder.mkdir(exist_ok=True)
        images = []
        for file, (title, svg) in self.plots().items():
            (folder / file).write_text(svg)
            images.append(f"![{title}]({FOLDER}/{file})")
        document.write_text(replaced(text, "\n\n".join([self.markdown(), *images])))


def replaced(text: str, body: str) -> str:
    """The document with this body between its markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the document has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{body}\n{END}{after}"
