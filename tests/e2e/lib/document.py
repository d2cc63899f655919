"""The commands that a document shows, as the tests run them."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from .deployed import REPOSITORY

_HEADING = re.compile(r"^#+ (.+)$")
_FENCE = re.compile(r"^(?P<margin> *)```(?P<language>\w*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block of shell commands. `document` is its path from the root, `section` its heading without marks."""

    document: str
    section: str
    commands: str


def blocks(document: Path) -> list[Block]:
    found, section, margin = [], "", None
    lines: list[str] = []
    for line in document.read_text().splitlines():
        fence = _FENCE.match(line)
        if margin is None:
            if heading := _HEADING.match(line):
                section = heading[1]
            if fence:
                margin, language, lines = fence["margin"], fence["language"], []
        elif fence and fence["margin"] == margin:
            if language == "sh":
                text = textwrap.dedent("\n".join(lines)) + "\n"
                found.append(Block(str(document.relative_to(REPOSITORY)), section, text))
            margin = None
        else:
            lines.append(line)
    return found


def commands(document: str, section: str) -> str:
    """The one block of shell commands in a section of a document of docs/."""
    found = [block for block in blocks(REPOSITORY / "docs" / document) if block.section == section]
    assert len(found) == 1, f"docs/{document}: {len(found)} blocks of commands in {section}"
    return found[0].commands
