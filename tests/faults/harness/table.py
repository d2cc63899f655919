"""The table of rows: what was broken, what had to be seen, what was seen."""

from __future__ import annotations

import datetime
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path

BEGIN = "<!-- figures: begin -->"
END = "<!-- figures: end -->"


@dataclass
class Row:
    number: int
    fault: str
    required: str
    # Which of several ways to break the same thing.
    variant: str = ""
    seen: list[str] = field(default_factory=list)
    passed: bool = False
    # Why it was not run.
    skipped: str = ""

    def saw(self, figure: str) -> None:
        self.seen.append(figure)

    def name(self) -> str:
        return f"{self.number} {self.variant}".rstrip()

    def line(self) -> str:
        return f"row {self.name()} | {self.fault} | {self.required} | {self._verdict('FAILED')}"

    def markdown(self) -> str:
        return f"| {self.name()} | {self.fault} | {self.required} | {self.verdict()} |"

    def verdict(self) -> str:
        """What was seen, as it stands in a document."""
        return self._verdict("**failed**")

    def _verdict(self, failed: str) -> str:
        if self.skipped:
            return f"not run: {self.skipped}"
        return f"{'' if self.passed else f'{failed}: '}{'; '.join(self.seen) or 'nothing'}"


def in_order(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row.number)


def write_into(document: Path, rows: list[Row], scale: str) -> None:
    """Replaces the figures between the document's two marks."""
    text = document.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    assert rest and after, f"{document} lacks {BEGIN} or {END}"
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    table = [
        f"Seen on {today}, {scale} size, {os.cpu_count()} cores, Linux {'.'.join(platform.release().split('.')[:2])}:",
        "",
        "| row | fault | required | seen |",
        "|---|---|---|---|",
        *(row.markdown() for row in in_order(rows)),
    ]
    document.write_text(f"{before}{BEGIN}\n" + "\n".join(table) + f"\n{END}{after}")
