"""Fixtures: the shared store, the clusters, and what a failed test shows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from lib import sidecar
from lib.browser import Browser
from lib.certs import Authority
from lib.cluster import Cluster, Shape
from lib.haproxy import HAProxy
from lib.process import Ports, Process
from lib.replica import DockerRegistry, Replica, Zot
from lib.store import Directory, Moto

KINDS: list[type[Replica]] = [DockerRegistry, Zot]
FIGURES = pytest.StashKey[list[str]]()


def _wired(param: tuple[type[Replica], str]) -> str:
    kind, wire = param
    return f"{kind.kind}-{wire}"


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="session")
def ports() -> Ports:
    return Ports()


@pytest.fixture(scope="session")
def authority(run_dir: Path) -> Authority:
    return Authority(run_dir / "ca", "shardlet tests")


@pytest.fixture(scope="session")
def moto(ports: Ports, run_dir: Path) -> Iterator[Moto]:
    server = Moto(ports, run_dir)
    yield server
    server.process.stop()


@pytest.fixture(scope="session")
def browser(run_dir: Path) -> Iterator[Browser]:
    browser = Browser(run_dir / "browser")
    yield browser
    browser.stop()


@pytest.fixture(scope="session")
def pictures(run_dir: Path) -> Path:
    """SHARDLET_PICTURES names a folder for who wants to look at them."""
    folder = Path(os.environ.get("SHARDLET_PICTURES") or run_dir / "pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session", params=KINDS, ids=lambda kind: kind.kind)
def cluster(
    request: pytest.FixtureRequest, moto: Moto, authority: Authority, ports: Ports, run_dir: Path
) -> Iterator[Cluster]:
    """The real thing: three replicas over one S3 bucket. The suite runs once for every kind of registry."""
    kind: type[Replica] = request.param
    if not kind.binary():
        pytest.skip(f"no {kind.kind} binary")
    shape = Shape(kind, moto.bucket(f"e2e-{kind.kind}"))
    yield from _running(Cluster(shape, authority, ports, run_dir / kind.kind))


@pytest.fixture(scope="session")
def fast_cluster(authority: Authority, ports: Ports, run_dir: Path) -> Iterator[Cluster]:
    """Over one directory: where bytes or restarts count, and the stand-in for S3 would be measured instead of us."""
    # A test waits for what is refused while a replica is away.
    settings = {"writes": {"hold": "2s"}}
    shape = Shape(DockerRegistry, Directory(run_dir / "fast-store"), settings=settings)
    yield from _running(Cluster(shape, authority, ports, run_dir / "fast"))


@pytest.fixture(scope="session")
def absolute_cluster(authority: Authority, ports: Ports, run_dir: Path) -> Iterator[Cluster]:
    """Registries that answer with absolute Locations."""
    shape = Shape(DockerRegistry, Directory(run_dir / "absolute-store"), relative_urls=False)
    yield from _running(Cluster(shape, authority, ports, run_dir / "absolute"))


@pytest.fixture(scope="session")
def tls_cluster(authority: Authority, ports: Ports, run_dir: Path) -> Iterator[Cluster]:
    """Absolute Locations, and TLS on the client listeners."""
    shape = Shape(DockerRegistry, Directory(run_dir / "tls-store"), relative_urls=False, client_tls=True)
    yield from _running(Cluster(shape, authority, ports, run_dir / "tls"))


@pytest.fixture(scope="session", params=[(kind, wire) for kind in KINDS for wire in ("http", "h2")], ids=_wired)
def wired_cluster(
    request: pytest.FixtureRequest, authority: Authority, ports: Ports, run_dir: Path
) -> Iterator[Cluster]:
    """Every kind of registry, with plain HTTP for clients and with TLS, over which Go and curl speak HTTP/2."""
    kind, wire = request.param
    if kind is DockerRegistry:
        yield request.getfixturevalue("tls_cluster" if wire == "h2" else "fast_cluster")
        return
    if not kind.binary():
        pytest.skip(f"no {kind.kind} binary")
    name = f"{kind.kind}-{wire}"
    shape = Shape(kind, request.getfixturevalue("moto").bucket(name), client_tls=wire == "h2")
    yield from _running(Cluster(shape, authority, ports, run_dir / name))


@pytest.fixture(params=["http", "tcp"])
def haproxy(request: pytest.FixtureRequest, cluster: Cluster, ports: Ports, tmp_path: Path) -> Iterator[HAProxy]:
    proxy = HAProxy(request.param, [member.sidecar.host for member in cluster.members], ports, tmp_path / "haproxy")
    yield proxy
    proxy.process.stop()


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> list[str]:
    """Measured values: what a test puts in here is printed at the end."""
    return request.config.stash.setdefault(FIGURES, [])


def _running(cluster: Cluster) -> Iterator[Cluster]:
    cluster.wait_settled()
    yield cluster
    cluster.stop()


def pytest_configure() -> None:
    if not Path(sidecar.binary()).exists():
        raise pytest.UsageError(
            f"{sidecar.binary()} does not exist: cargo build --release, or name one by {sidecar.BINARY_NAMED_BY}"
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:  # noqa: ARG001
    report: pytest.TestReport = yield  # type: ignore[assignment]
    if report.failed:
        for process in Process.running:
            report.sections.append((f"last words of {process.name}", process.tail()))
    return report  # type: ignore[return-value]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for figure in config.stash.get(FIGURES, []):
        terminalreporter.write_line(f"measured: {figure}")
    if not Zot.binary():
        terminalreporter.section("ZOT WAS NOT TESTED", bold=True, yellow=True)
        terminalreporter.write_line(
            f"No zot on PATH, and {Zot.NAMED_BY} names none: every [zot] test above was skipped."
        )
