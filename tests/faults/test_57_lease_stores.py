"""Leases in the other stores that there are: a member that dies, comes back, and leaves, as with S3."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import MakeLeased
from harness.leased_load import HELD_SECONDS, load, names_of, of_one, wait_for_takeover
from harness.safety import Counts, found
from harness.scale import Scale
from harness.table import Row
from lib.certs import Authority
from lib.lease_store import DynamoDbStore, KubernetesStore, Leases
from lib.process import Ports


@pytest.fixture(params=["DynamoDB", "Kubernetes"])
def leases(request: pytest.FixtureRequest, ports: Ports, authority: Authority, tmp_path: Path) -> Iterator[Leases]:
    if request.param == "Kubernetes" and (why := KubernetesStore.why_none()):
        pytest.skip(f"no process can have a pod's account here: {why}")
    make: dict[str, Callable[[], Leases]] = {
        "DynamoDB": lambda: DynamoDbStore(ports, tmp_path),
        "Kubernetes": lambda: KubernetesStore(ports, tmp_path, authority),
    }
    made = make[request.param]()
    yield made
    made.stop()


@pytest.mark.row(
    76,
    "SIGKILL of a member, its return, and one that leaves for good, with the leases in another store",
    "written again ≤ lease + grace + 5 s; no pull fails, and no push; 0 lost",
)
def test_a_member_dies_and_one_leaves(
    make_leased: MakeLeased, leases: Leases, scale: Scale, row: Row, counts: Counts, tmp_path: Path
) -> None:
    fleet = make_leased(leases=leases)
    victim, leaver = fleet.members[-2:]
    names = names_of(fleet, scale.lease_repositories)
    theirs = of_one(fleet, victim, names)
    with load(fleet.members, names, tmp_path, scale) as writers:
        killed = fleet.kill(victim)
        wait_for_takeover(row, fleet, writers, theirs, killed)
        fleet.start(victim)
        fleet.wait_members(3)
        writers.wait_for_all(names, fleet.wait_ready(victim), fleet.level.takeover)
        leaves = time.monotonic()
        fleet.leave(leaver)
        left = time.monotonic()
        row.saw(f"left after {left - leaves:.1f} s")
        fleet.wait_members(2)
        writers.wait_for_all(names, left, fleet.level.takeover)
    assert leases.fenced() == [victim.id]
    seen = found(row, counts, fleet, [writers], cut_at=[killed])
    seen.assert_safe()
    seen.assert_pulls()
    if fleet.level.takeover < HELD_SECONDS:
        seen.assert_unharmed()
