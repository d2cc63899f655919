"""Fixtures: the engine, its images, the fleet of compose.yaml, and what a failed test shows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import images
from harness.engine import Engine, Impossible
from harness.fleet import LEASED, LISTED, REPLICAS, Fleet, Kind
from lib import sidecar
from lib.process import Process
from lib.replica import Zot

FIGURES = pytest.StashKey[list[str]]()
NO_ENGINE = pytest.StashKey[str]()
# Instead of the public images: what the engine was given, and a tag for each.
VARIABLES = {
    f"{name}_{part}": value
    for name, image in {
        "OPENSSL": "tools",
        "STORE": "tools",
        "HAPROXY": "tools",
        "REDIS": "tools",
        "DISTRIBUTION": "distribution",
        "ZOT": "zot",
    }.items()
    for part, value in (("IMAGE", image), ("TAG", "test"))
}


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compose")


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest, run_dir: Path) -> Iterator[Engine]:
    try:
        started = Engine(run_dir / "dockerd.log")
    except Impossible as why:
        request.config.stash[NO_ENGINE] = str(why)
        if os.environ.get("CI") == "true":
            pytest.fail(f"NO DOCKER ENGINE, and in CI there has to be one: {why}")
        pytest.skip(f"no Docker engine: {why}")
    yield started
    started.stop()


@pytest.fixture(scope="session")
def stocked(engine: Engine) -> Engine:
    """The engine with all images that take no pull."""
    images.import_into(engine, images.files())
    if zot := Zot.binary():
        images.import_zot(engine, Path(zot))
    return engine


@pytest.fixture(scope="session", params=REPLICAS)
def fleet(request: pytest.FixtureRequest, stocked: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Up, with one kind of registry beside the sidecars and HAProxy before them."""
    profile: str = request.param
    if profile != "distribution" and not Zot.binary():
        pytest.skip("no zot binary")
    yield from _up(stocked, profile, tmp_path_factory.mktemp(profile), LISTED)


@pytest.fixture(scope="module")
def leased(stocked: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Up, with members by leases. Once the others are down: they have the same name and ports."""
    yield from _up(stocked, "distribution", tmp_path_factory.mktemp("leased"), LEASED)


def _up(engine: Engine, profile: str, directory: Path, by: Kind) -> Iterator[Fleet]:
    built = images.stripped(Path(sidecar.binary())).relative_to(images.ROOT)
    base = {"SHARDLET_TARGET": "prebuilt", "RUN_IMAGE": "base:test", "SHARDLET_BINARY_FILE": str(built)}
    made = Fleet(engine, VARIABLES | base, profile, directory, by=by)
    made.compose("build", "shardlet-1")
    made.up()
    yield made
    made.down()


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> list[str]:
    """Measured values: what a test puts in here is printed at the end."""
    return request.config.stash.setdefault(FIGURES, [])


def pytest_configure() -> None:
    if not Path(sidecar.binary()).exists():
        raise pytest.UsageError(
            f"{sidecar.binary()} does not exist: cargo build --release, or name one by {sidecar.BINARY_NAMED_BY}"
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: pytest.TestReport = yield  # type: ignore[assignment]
    if report.failed:
        for process in Process.running:
            report.sections.append((f"last words of {process.name}", process.tail()))
        given = getattr(item, "funcargs", {})
        if fleet := given.get("fleet") or given.get("leased"):
            report.sections.append(("last words of the containers", fleet.last_words()))
    return report  # type: ignore[return-value]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for figure in config.stash.get(FIGURES, []):
        terminalreporter.write_line(f"measured: {figure}")
    if why := config.stash.get(NO_ENGINE, None):
        terminalreporter.section("THE COMPOSE FILE WAS NOT TESTED", bold=True, yellow=True)
        terminalreporter.write_line(f"No Docker engine could be started here: {why}")
    if not Zot.binary():
        terminalreporter.section("COMPOSE WAS NOT TESTED WITH ZOT", bold=True, yellow=True)
        terminalreporter.write_line(f"No zot on PATH, and {Zot.NAMED_BY} names none: the profiles zot and redis were skipped.")
