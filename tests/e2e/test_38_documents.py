"""Every command that a document shows is carried out by a test, so that a new one without a test fails here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lib.deployed import REPOSITORY
from lib.document import SHELL, Block, blocks
from lib.process import run
from lib.sidecar import binary

DOCUMENTS = [
    *REPOSITORY.glob("*.md"),
    *(REPOSITORY / "docs").glob("*.md"),
    *(REPOSITORY / ".github").glob("*.md"),
    REPOSITORY / "compose" / "README.md",
]
# (document, section) → the file that carries the commands out, and the test in it.
CARRIED_OUT = {
    ("docs/certificates.md", "One for all members"): ("tests/e2e/test_31_certificates.py", "secrets"),
    ("docs/certificates.md", "One for each member"): (
        "tests/e2e/test_31_certificates.py",
        "test_certificates_of_their_own_and_what_is_to_be_seen_of_them",
    ),
    ("docs/certificates.md", "Look at what you have"): (
        "tests/e2e/test_31_certificates.py",
        "test_certificates_of_their_own_and_what_is_to_be_seen_of_them",
    ),
    ("docs/certificates.md", "Renew"): (
        "tests/e2e/test_31_certificates.py",
        "test_a_renewed_certificate_and_another_authority_cost_no_push",
    ),
    ("docs/certificates.md", "Another authority"): (
        "tests/e2e/test_31_certificates.py",
        "test_a_renewed_certificate_and_another_authority_cost_no_push",
    ),
    ("docs/doctor.md", "Run it"): ("tests/e2e/test_16_doctor.py", "test_the_commands_of_the_document"),
    ("docs/install.md", "Docker Compose and the image"): (
        "tests/compose/test_91_commands.py",
        "test_what_installing_says",
    ),
    ("docs/install.md", "Debian package and systemd"): (
        "tests/e2e/test_34_install.py",
        "test_the_package_is_installed_started_and_removed",
    ),
    ("docs/install.md", "Kubernetes"): ("tests/e2e/test_34_install.py", "test_the_commands_for_kubernetes"),
    ("docs/migrate.md", "From zot's cluster mode"): (
        "tests/cli/import.rs",
        "the_commands_of_the_migration_document_work",
    ),
    ("docs/migrate.md", "From HAProxy rules"): (
        "tests/cli/import.rs",
        "the_commands_of_the_migration_document_work",
    ),
    ("docs/resize.md", "What a change would move"): ("tests/e2e/test_37_resize.py", "test_what_would_move"),
    ("docs/resize.md", "Give the members another list"): ("tests/e2e/test_37_resize.py", "give"),
    ("docs/resize.md", "Take one away"): ("tests/e2e/test_37_resize.py", "drain"),
    ("docs/troubleshooting.md", "A client prints only a status"): (
        "tests/e2e/test_40_trouble.py",
        "test_what_clients_print_is_on_the_page",
    ),
}
# Those that no test can carry out, and why.
EXCEPTIONS = {
    ("README.md", "shardlet"): "the test command itself, the demo (test_08_commands.py) and compose (tests/compose)",
    ("docs/faults.md", "Faults"): "they are the test command itself",
    ("docs/faults.md", "Members with leases"): "it is a part of the test command itself, and takes hours",
    ("docs/performance.md", "Performance"): "they measure a release build for minutes, on a machine that does nothing else",
    ("docs/performance.md", "What one request may cost"): "they are a part of the test command itself",
    ("docs/scale.md", "Scale"): "they take minutes; tests/shard_properties simulates, test_42_scale.py measures and writes",
}
# Another reader of a document than lib.document, which takes all of its blocks.
READS_ALL = "docs/migrate.md"
_INLINE = re.compile(r"`(shardlet [a-z][^`]*)`")
_OPTION = re.compile(r"(?<![\w-])--?[a-z][\w-]*")


def _blocks() -> list[Block]:
    return [block for document in DOCUMENTS for block in blocks(document)]


def test_each_block_of_commands_is_carried_out_by_a_test() -> None:
    found = {(block.document, block.section) for block in _blocks() if block.language == SHELL}
    known = CARRIED_OUT.keys() | EXCEPTIONS.keys()
    assert not found - known, "no test carries these commands out; write one, and name it here"
    assert not known - found, "these commands are in no document any more"


@pytest.mark.parametrize(("block", "by"), CARRIED_OUT.items(), ids=lambda of: of[1] if isinstance(of, tuple) else of)
def test_the_test_is_there_and_reads_the_document(block: tuple[str, str], by: tuple[str, str]) -> None:
    (document, section), (file, name) = block, by
    text = (REPOSITORY / file).read_text()
    assert re.search(rf"^ *(def|fn) {name}\(", text, re.MULTILINE), f"{file} has no {name}"
    assert Path(document).name in text
    assert section in text or document == READS_ALL, f"{file} does not read {section}"


def test_blocks_say_that_they_are_commands() -> None:
    """One without a language would be passed over above."""
    programs = "bash|cargo|cp|curl|docker|kubectl|openssl|shardlet|sudo"
    command = re.compile(rf"^(?:\$ )?(?:{programs}) [\w./-]+( |$)", re.MULTILINE)
    assert not [block for block in _blocks() if block.language != SHELL and command.search(block.text)]


def test_commands_within_sentences_are_commands() -> None:
    """Each is there, and has the options that it is shown with."""
    listed = run([binary(), "--help"]).partition("Commands:\n")[2].partition("\n\n")[0]
    names = {line.split()[0] for line in listed.splitlines()} - {"help"}
    help_of = {name: run([binary(), name, "--help"]) for name in names}
    shown = {command for document in DOCUMENTS for command in _INLINE.findall(document.read_text())}
    assert len(shown) > 15
    for command in sorted(shown):
        name, *words = command.removeprefix("shardlet ").split()
        assert name in help_of, command
        # `import zot` and `export zot-cluster` have options of their own.
        below = [word for word in words[:1] if re.search(rf"^  {re.escape(word)} ", help_of[name], re.MULTILINE)]
        text = run([binary(), name, *below, "--help"])
        unknown = [option for option in _OPTION.findall(" ".join(words)) if option not in text]
        assert not unknown, f"`{command}`: no {unknown}"
