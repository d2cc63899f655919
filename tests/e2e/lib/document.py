"""The commands that a document shows, as the tests run them."""

from __future__ import annotations

import re

from .deployed import REPOSITORY


def commands(document: str, section: str) -> str:
    """The one block of shell commands in a section, whose heading is given without its marks."""
    text = (REPOSITORY / "docs" / document).read_text()
    found = re.search(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/{document} has no section {section}"
    blocks = re.findall(r"^```sh\n(.*?)^```$", found[1], re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1, f"{len(blocks)} blocks of commands in {section}"
    return blocks[0]
