"""The commands and samples that a document shows, as the tests run them."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from .deployed import REPOSITORY

SHELL = "sh"
_HEADING = re.compile(r"^#+ (.+)$")
_FENCE = re.compile(r"^(?P<margin> *)```(?P<language>\w*)$")


@dataclass(frozen=True)
class Block:
    """What stands between fences. `document` is its path from the root, `section` its heading without marks."""

    document: str
    section: str
    language: str
    text: str


def blocks(document: Path) -> list[Block]:
    """All of them, in order."""
    found, section, name = [], "", str(document.relative_to(REPOSITORY))
    opened: re.Match[str] | None = None
    lines: list[str] = []
    for line in document.read_text().splitlines():
        fence = _FENCE.match(line)
        if opened is None:
            if heading := _HEADING.match(line):
                section = heading[1]
            opened, lines = fence, []
        elif fence and fence["margin"] == opened["margin"]:
            found.append(Block(name, section, opened["language"], textwrap.dedent("\n".join(lines)) + "\n"))
            opened = None
        else:
            lines.append(line)
    return found


def commands(document: str, section: str) -> str:
    """The one block of shell commands in a section of a document of docs/."""
    return block(document, section, SHELL)


def block(document: str, section: str, language: str) -> str:
    """The one block in this language in a section of a document of docs/."""
    shown = blocks(REPOSITORY / "docs" / document)
    found = [block.text for block in shown if (block.section, block.language) == (section, language)]
    assert len(found) == 1, f"docs/{document}: {len(found)} blocks of {language} in {section}"
    return found[0]
