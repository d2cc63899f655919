"""What comes with the code: scripts, workflows, manual pages, and the licences of what is built in."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from lib.deployed import REPOSITORY
from lib.process import attempt, run
from lib.sidecar import binary
from lib.tools import go_tool

WORKFLOWS = REPOSITORY / ".github" / "workflows"
# Those that have scripts.
FOLDERS = (".ci", "compose", "deploy", "tests")
# The packages of this repository.
OURS = {"shardlet", "shardlet-simulation"}
_SCRIPT = re.compile(rb"#!.*\b(ba)?sh$|# shellcheck shell=")
_TERM = re.compile(r"\s*([()]|[\w.+-]+)")


def _scripts() -> list[Path]:
    """Shell scripts and what they source, by their first line."""
    files = [file for folder in FOLDERS for file in (REPOSITORY / folder).rglob("*") if file.is_file()]
    first_lines = {file: file.open("rb").readline() for file in files}
    return [file for file, line in first_lines.items() if re.match(_SCRIPT, line.rstrip())]


def test_scripts_are_clean() -> None:
    scripts = _scripts()
    assert len(scripts) >= 6
    done = attempt(["shellcheck", "-x", f"--source-path={REPOSITORY}", *scripts])
    assert done.returncode == 0, done.stdout


def test_workflows_are_clean() -> None:
    """With shellcheck over the scripts in them."""
    workflows = sorted(WORKFLOWS.glob("*.yml"))
    assert {file.name for file in workflows} >= {"ci.yml", "release.yml"}
    done = attempt([go_tool("actionlint"), "-color=false", *workflows])
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflows_run_what_is_there() -> None:
    for file in sorted(WORKFLOWS.glob("*.yml")):
        scripts = re.findall(r"bash ((?:\.ci|tests|deploy)/[\w./-]+)", file.read_text())
        assert scripts and all((REPOSITORY / script).is_file() for script in scripts), file
    steps = yaml.safe_load((WORKFLOWS / "ci.yml").read_text())["jobs"]["test"]["steps"]
    assert steps[-1] == {"run": "bash .ci/run"}
    rust = tomllib.loads((REPOSITORY / "Cargo.toml").read_text())["package"]["rust-version"]
    for file in sorted(WORKFLOWS.glob("*.yml")):
        assert set(re.findall(r"rustup toolchain install (\S+)", file.read_text())) <= {rust}
    deb = re.search(r"^CARGO_DEB=(\S+)$", (REPOSITORY / "tests" / "run.sh").read_text(), re.MULTILINE)
    assert deb and deb[1] in (WORKFLOWS / "release.yml").read_text()


def test_manual_pages_are_clean(tmp_path: Path) -> None:
    run([binary(), "man", tmp_path])
    pages = sorted(tmp_path.glob("*.1"))
    assert len(pages) > 5
    done = attempt(["mandoc", "-T", "lint", "-W", "warning", *pages])
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


def test_dependencies_are_of_the_allowed_kind() -> None:
    """The rules that `cargo deny check licenses bans sources` goes by, without the tool."""
    rules = tomllib.loads((REPOSITORY / ".cargo" / "deny.toml").read_text())
    banned = {crate["name"] for crate in rules["bans"]["deny"]}
    sources = {f"registry+{registry}" for registry in rules["sources"]["allow-registry"]}
    allowed = set(rules["licenses"]["allow"])
    packages = [package for package in _packages() if package["name"] not in OURS]
    assert len(packages) > 100 and banned and sources and allowed
    assert not [package["name"] for package in packages if package["name"] in banned]
    assert not [package["name"] for package in packages if package["source"] not in sources]
    refused = [package for package in packages if not _is_allowed(package["license"] or "", allowed)]
    assert not [(package["name"], package["license"]) for package in refused]
    # Each earns its place: without it, a dependency would be refused.
    for licence in allowed:
        rest = allowed - {licence}
        assert any(not _is_allowed(package["license"], rest) for package in packages), licence


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0", False),
        ("MIT/GPL-3.0", True),
        ("MIT AND GPL-3.0", False),
        ("(GPL-3.0 OR MIT) AND ISC", True),
        ("GPL-3.0 OR MIT AND ISC", True),
        ("GPL-3.0 WITH an-exception OR MIT", True),
        ("", False),
    ],
)
def test_expressions_of_licences_are_read(expression: str, allowed: bool) -> None:
    assert _is_allowed(expression, {"MIT", "ISC"}) is allowed


def _packages() -> list[dict[str, Any]]:
    command = ["cargo", "metadata", "--locked", "--offline", "--format-version", "1"]
    manifest = ["--manifest-path", REPOSITORY / "Cargo.toml", "--filter-platform", "x86_64-unknown-linux-gnu"]
    return json.loads(run([*command, *manifest]))["packages"]


def _is_allowed(expression: str, allowed: set[str]) -> bool:
    """An SPDX expression: AND binds closer than OR, and an old `/` means OR."""
    terms = _TERM.findall(expression.replace("/", " OR "))
    words = []
    for term in terms:
        match term:
            case "(" | ")":
                words.append(term)
            case "AND" | "OR":
                words.append(term.lower())
            case "WITH":
                words.append("and")
            case _:
                words.append(str(term in allowed))
    # Nothing but brackets, `and`, `or`, `True` and `False` is left.
    return bool(words) and bool(eval(" ".join(words)))
