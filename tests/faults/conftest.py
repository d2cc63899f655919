"""Fixtures: clusters to be broken, the table of rows, and what a failed test shows."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from harness import network, safety
from harness.fleet import Fleet
from harness.leased import LeasedFleet, Level
from harness.network import Network
from harness.safety import FIRST_ROW, Counts
from harness.scale import FAST, FULL, MIB, Scale
from harness.table import Row, in_order, write_into
from lib import image, sidecar
from lib.certs import Authority
from lib.cluster import Cluster, Shape
from lib.haproxy import HAProxy
from lib.image import Layout
from lib.process import Ports, Process
from lib.replica import DockerRegistry
from lib.sidecar import Place, Settings, merged
from lib.store import Directory, Moto

# Of the image that real clients push: one larger than what is kept of a body, and a small one.
LAYERS = (MIB, 64 << 10)
ROWS = pytest.StashKey[list[Row]]()
ROW = pytest.StashKey[Row]()
COUNTS = pytest.StashKey[dict[str, Counts]]()
NO_NAMESPACES = pytest.StashKey[str]()

# What every cluster of the suite has, unless a row says otherwise. A probe may take longer than by default, since a
# machine that runs all members, all clients and all attackers on two cores is late with everything.
# Most rows look at what is refused, and how soon.
SETTINGS: Settings = {
    "timeouts": {"drain": "20s"},
    "probes": {"interval": "500ms", "timeout": "3s"},
    "writes": {"hold": "0s"},
}
# For rows in which writes wait, as they do by default.
HOLDING: Settings = {"timeouts": {"aftermath": "5s"}, "writes": {"hold": "20s"}}

MakeCluster = Callable[..., Cluster]
MakeFleet = Callable[..., Fleet]
MakeLeased = Callable[..., LeasedFleet]
Balanced = Callable[[Sequence[Place], int], HAProxy]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="every fault at the size that docs/faults.md tells")
    parser.addoption("--no-namespaces", action="store_true", help="partitions are stood in for, as where none can be made")
    parser.addoption("--seed", type=int, help="of what comes at random; it is told with the figures")
    parser.addoption("--churn-seconds", type=float, help="how long members with leases come and go at random")
    parser.addoption("--safety-report", type=Path, help="a document to write about leases, from what was seen")
    parser.addoption("--figures", type=Path, help="a document to write the table into, between its marks")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "row(number, fault, required): which row of docs/faults.md a test shows")
    config.addinivalue_line("markers", "full: takes long, and shows at full size alone what others show at both")
    config.stash[ROWS] = []
    config.stash[COUNTS] = {}
    if not Path(sidecar.binary()).exists():
        raise pytest.UsageError(
            f"{sidecar.binary()} does not exist: cargo build --release, or name one by {sidecar.BINARY_NAMED_BY}"
        )


@pytest.fixture(scope="session")
def scale(request: pytest.FixtureRequest) -> Scale:
    return FULL if request.config.getoption("full") else FAST


@pytest.fixture
def lease_churn_seconds(request: pytest.FixtureRequest, scale: Scale) -> float:
    return request.config.getoption("churn_seconds") or scale.lease_churn_seconds


@pytest.fixture
def counts(request: pytest.FixtureRequest, row: Row) -> Counts:
    """What a run with leases has done, for the report."""
    return request.config.stash[COUNTS].setdefault(row.name(), Counts())


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Row:
    """The row that the test's mark names; figures go in here."""
    return request.node.stash[ROW]


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    given = request.config.getoption("seed")
    return random.randrange(1_000_000) if given is None else given


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="session")
def ports() -> Ports:
    return Ports()


@pytest.fixture(scope="session")
def authority(run_dir: Path) -> Authority:
    return Authority(run_dir / "ca", "shardlet faults")


@pytest.fixture(scope="session")
def moto(ports: Ports, run_dir: Path) -> Iterator[Moto]:
    server = Moto(ports, run_dir)
    yield server
    server.process.stop()


@pytest.fixture
def network_of_three(namespaces: Network | None) -> Iterator[Network | None]:
    """Whole again after each test."""
    yield namespaces.first(3) if namespaces else None
    if namespaces:
        namespaces.join()


@pytest.fixture
def network_of_four(namespaces: Network | None) -> Iterator[Network]:
    """For rows that nothing can stand in for; whole again after each test."""
    if not namespaces:
        pytest.skip("no network namespaces")
    yield namespaces
    namespaces.join()


@pytest.fixture(scope="session")
def namespaces(request: pytest.FixtureRequest) -> Iterator[Network | None]:
    """Four network namespaces on a bridge; None where this machine allows none, which is said at the end."""
    try:
        if request.config.getoption("no_namespaces"):
            raise network.Impossible("--no-namespaces")
        made = network.make(4)
    except network.Impossible as why:
        request.config.stash[NO_NAMESPACES] = str(why)
        yield None
        return
    yield made
    made.remove()


@pytest.fixture
def make_cluster(authority: Authority, ports: Ports, tmp_path: Path) -> Iterator[MakeCluster]:
    """Makes clusters that end with the test: docker-registry over one directory, unless told otherwise."""
    made: list[Cluster] = []
    numbers = itertools.count()

    def make(settings: Settings | None = None, **shape: Any) -> Cluster:
        directory = tmp_path / f"cluster-{next(numbers)}"
        shape.setdefault("store", Directory(tmp_path / "store"))
        shape.setdefault("kind", DockerRegistry)
        wanted = Shape(settings=merged(SETTINGS, settings or {}), **shape)
        made.append(Cluster(wanted, authority, ports, directory))
        made[-1].wait_settled()
        return made[-1]

    yield make
    for cluster in made:
        cluster.stop()


@pytest.fixture
def make_fleet(authority: Authority, ports: Ports, tmp_path: Path, aftermath: float) -> Iterator[MakeFleet]:
    """Makes fleets that end with the test, settled unless told otherwise."""
    made: list[Fleet] = []

    def make(settings: Settings | None = None, *, settled: bool = True, **shape: Any) -> Fleet:
        directory = tmp_path / f"fleet-{len(made)}"
        directory.mkdir()
        made.append(Fleet(authority, ports, directory, aftermath=aftermath, settings=settings, **shape))
        if settled:
            made[-1].settle()
        return made[-1]

    yield make
    for fleet in made:
        fleet.stop()


@pytest.fixture
def balanced(ports: Ports, tmp_path: Path) -> Iterator[Balanced]:
    """Puts HAProxy before members, of which so many run, set up as docs/operations.md says."""
    made: list[HAProxy] = []

    def put(places: Sequence[Place], running: int) -> HAProxy:
        servers = [f"{place.host}:{place.clients}" for place in places]
        made.append(HAProxy("http", servers, ports, tmp_path / "haproxy", [place.admin for place in places]))
        made[-1].wait_up(running)
        return made[-1]

    yield put
    for one in made:
        one.process.stop()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """What real clients push and pull."""
    return image.build(tmp_path / "layout", seed=31, layer_bytes=LAYERS)


@pytest.fixture
def make_leased(authority: Authority, ports: Ports, tmp_path: Path, scale: Scale) -> Iterator[MakeLeased]:
    """Makes fleets with leases that end with the test, of level L0 unless told otherwise."""
    made: list[LeasedFleet] = []

    def make(level: str = "L0", **shape: Any) -> LeasedFleet:
        directory = tmp_path / f"leased-{len(made)}"
        directory.mkdir()
        of = Level(level, lease=scale.lease, handoff=scale.lease_handoff, aftermath=scale.lease_aftermath)
        made.append(LeasedFleet(authority, ports, directory, level=of, **shape))
        return made[-1]

    yield make
    for fleet in made:
        fleet.stop()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`aftermath`, in seconds: a short one, and at full size the default too."""
    own = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "aftermath" in metafunc.fixturenames and "aftermath" not in own:
        graces = FULL.graces if metafunc.config.getoption("full") else FAST.graces
        metafunc.parametrize("aftermath", graces, ids=[f"{grace:.0f}s" for grace in graces])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # The report is of all that there is.
    if config.getoption("full") or config.getoption("safety_report"):
        return
    large = [item for item in items if item.get_closest_marker("full")]
    config.hook.pytest_deselected(items=large)
    items[:] = [item for item in items if item not in large]


def pytest_runtest_setup(item: pytest.Item) -> None:
    mark = item.get_closest_marker("row")
    assert mark, f"{item.name} shows no row"
    variant = item.callspec.id if hasattr(item, "callspec") else mark.kwargs.get("variant", "")
    item.stash[ROW] = Row(*mark.args, variant=variant)
    item.config.stash[ROWS].append(item.stash[ROW])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:  # noqa: ARG001
    report: pytest.TestReport = yield  # type: ignore[assignment]
    if report.when == "call":
        item.stash[ROW].passed = report.passed
    if report.skipped and call.excinfo:
        item.stash[ROW].skipped = str(call.excinfo.value)
    if report.failed:
        for process in Process.running:
            report.sections.append((f"last words of {process.name}", process.tail()))
    return report  # type: ignore[return-value]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = in_order(config.stash[ROWS])
    size = FULL.name if config.getoption("full") else FAST.name
    if rows:
        terminalreporter.section(f"row | fault | required | seen ({size} size)")
    for row in rows:
        terminalreporter.write_line(row.line())
    if why := config.stash.get(NO_NAMESPACES, ""):
        terminalreporter.section("NO NETWORK NAMESPACES: PARTITIONS WERE STOOD IN FOR", bold=True, yellow=True)
        terminalreporter.write_line(f"{why}. Rows 4 and 5 ran against a full backlog and a closed port instead.")
        terminalreporter.write_line("Rows 20, 23 and 24 were skipped: nothing stands in for a member that some can reach.")
    if document := config.getoption("figures"):
        write_into(document, [row for row in rows if row.number < FIRST_ROW], size)
    if document := config.getoption("safety_report"):
        safety.write(document, rows, config.stash[COUNTS], size)
