"""What users of skopeo, buildah, oras and crane notice of a fleet with leases that changes or loses a member: nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Balanced, MakeLeased
from harness import shipped
from harness.leased import LeasedFleet
from harness.safety import Counts, count
from harness.scale import Scale
from harness.table import Row
from lib.image import Layout
from lib.replica import DockerRegistry, Zot
from lib.tools import Entry

# Each client has had its turn by then.
AFTERWARDS_SECONDS = 2.0
# Longer than HAProxy's checks take to see it. What became of a request that failed is told by its id.
SETTINGS = {"timeouts": {"drain_delay": "2s"}, "log": {"requests": True}}

MakeReal = Callable[[str], LeasedFleet]


@pytest.fixture(params=["docker-registry", "zot"])
def make_real(request: pytest.FixtureRequest, make_leased: MakeLeased) -> MakeReal:
    """Makes a fleet of real registries, of this level."""
    if request.param == "docker-registry":
        return lambda level: make_leased(level, settings=SETTINGS, kind=DockerRegistry)
    if not Zot.binary():
        pytest.skip("no zot binary")
    bucket = request.getfixturevalue("moto").bucket(f"row-{request.node.get_closest_marker('row').args[0]}")
    return lambda level: make_leased(level, settings=SETTINGS, kind=Zot, store=bucket)


@pytest.mark.row(
    74,
    "every member is restarted in turn (SIGTERM), then each leaves and joins again, then another one joins, behind HAProxy; "
    "skopeo, buildah, oras and crane push and pull as shipped",
    "0 failed pushes, 0 failed pulls, 0 lost tags",
)
def test_a_fleet_changes_under_real_clients(
    make_real: MakeReal, balanced: Balanced, layout: Layout, scale: Scale, row: Row, counts: Counts, tmp_path: Path
) -> None:
    fleet = make_real("L0")
    haproxy = balanced(fleet.places[:4], 3)

    def wait_for(count: int) -> None:
        fleet.wait_members(count)
        for member in fleet.running():
            fleet.wait_ready(member)
        haproxy.wait_up(count)

    with shipped.start(fleet, Entry(haproxy.host), layout, tmp_path / "clients") as work:
        for _ in range(scale.restarts):
            for member in fleet.members:
                fleet.end(member)
                fleet.start(member)
                wait_for(3)
            for member in fleet.members:
                fleet.leave(member)
                wait_for(2)
                fleet.start(member)
                wait_for(3)
        fleet.add()
        wait_for(4)
        time.sleep(AFTERWARDS_SECONDS)
    work.tell(row)
    count(counts, work, fleet)
    work.assert_unseen()
    assert not fleet.leases.fenced()


@pytest.mark.row(
    75,
    "SIGKILL of a member behind HAProxy, at L1 with a hold of 25 s, and its return; the same clients push and pull",
    "no push or pull fails but what was cut by the death, and such a push succeeds when run again; 0 lost tags",
)
def test_a_death_under_real_clients(
    make_real: MakeReal, balanced: Balanced, layout: Layout, row: Row, counts: Counts, tmp_path: Path
) -> None:
    fleet = make_real("L1")
    haproxy = balanced(fleet.places[:3], 3)
    victim = fleet.members[0]
    with shipped.start(fleet, Entry(haproxy.host), layout, tmp_path / "clients") as work:
        died = fleet.kill(victim)
        taken = fleet.wait_members(2)
        row.saw(f"taken over {taken - died:.1f} s after")
        time.sleep(AFTERWARDS_SECONDS)
        fleet.start(victim)
        fleet.wait_members(3)
        fleet.wait_ready(victim)
        haproxy.wait_up(3)
        time.sleep(AFTERWARDS_SECONDS)
    assert fleet.leases.fenced() == [victim.id]
    count(counts, work, fleet)
    work.conclude_death(row, died)
