"""What the budgets are held against, measured once, and the options to write them anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import budgets, callgrind, syscalls
from harness.pair import FIRST, PULL, PUSH, SECOND
from lib import sidecar

# The works of the file: what is done with whose repository, and the member that is looked at.
WORKS = {
    "local": (PULL, "here", FIRST),
    "forwards": (PULL, "there", FIRST),
    "serves": (PULL, "there", SECOND),
    "push_local": (PUSH, "here", FIRST),
    "push_forwards": (PUSH, "there", FIRST),
    "push_serves": (PUSH, "there", SECOND),
}
MEASURED = pytest.StashKey[dict[tuple[str, str], float]]()

Measured = dict[tuple[str, str], float]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="write what is measured into budgets.toml")
    parser.addoption("--reason", help="why a figure may rise, for --update")


def pytest_configure() -> None:
    if not Path(sidecar.binary()).exists():
        raise pytest.UsageError(
            f"{sidecar.binary()} does not exist: cargo build --release, or name one by {sidecar.BINARY_NAMED_BY}"
        )


@pytest.fixture(scope="session")
def measured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """By work and figure."""
    counted = callgrind.measure(tmp_path_factory.mktemp("callgrind"))
    called = syscalls.measure(tmp_path_factory.mktemp("syscalls"))
    figures = {
        (work, figure): value
        for work, which in WORKS.items()
        for figure, value in (counted[which] | called[which]).items()
    }
    request.config.stash[MEASURED] = figures
    if request.config.getoption("update"):
        _update(figures, request.config.getoption("reason"))
    return figures


@pytest.fixture(scope="session")
def by_leases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """By work, the instructions in a fleet that has no list."""
    counted = callgrind.measure(tmp_path_factory.mktemp("leases"), by_leases=True)
    return {work: counted[which]["instructions"] for work, which in WORKS.items()}


def _update(figures: Measured, reason: str | None) -> None:
    text = budgets.FILE.read_text()
    kept = {which: budget.updated(figures[which], reason) for which, budget in budgets.read(text).items()}
    budgets.FILE.write_text(budgets.written(text, kept))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(MEASURED, {})
    if not figures:
        return
    terminalreporter.section("one small request")
    for (work, figure), budget in budgets.read(budgets.FILE.read_text()).items():
        terminalreporter.write_line(f"{work:13} {figure:13} {figures[work, figure]:>9.1f} of {budget.now:g}")
