"""The schedules by which members that work by a list came to write beside each other, for members that hold leases.

| schedule | here |
|---|---|
| all are replaced at once while replicas go on | row 63: there is no other list to be given, so each starts again as it was |
| one by one, readiness awaited, the heir last | row 64, by SIGKILL: what the process before knew is gone with it |
| the owner dies in a write, its heir is restarted | row 65 |
| a read that writes is at the old owner when a repository moves | row 66: it moves since its owner leaves |
| another replica beside the same member | row 67: by a restart; a name that comes to mean another one is row 26 |
| a sidecar is stopped for longer than its lease | row 54, with pushes of which it holds the last byte |
| the heir cannot reach the leaver, which has an upload | row 68 |
| the heir was away itself, and loses a question | row 54: who wakes up fences nobody, which is asserted there |
| probes slower than the grace | none: probes decide nothing here. `shardlet check` holds guard, renewal and lease together |
| the heir is out of file descriptors | row 69: it can call the store no more, so it fences nobody |
| a member is renamed in place | row 55: one leaves and another one joins, there is no other way |
| a newcomer cannot reach an old member | row 70 |
| the owner's sidecar is dead, its replica's write takes longer than the grace | row 71: L1 loses nothing, what L0 loses is counted |
| two members that never reached each other | row 70, by both ways: acknowledgements go through the store, not from one to the other |
| clocks that are set | none with real processes: a clock of the machine is everybody's. The simulation of `shard::leases` has it |
"""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import MakeLeased
from harness import open_write
from harness.judge import first_write_elsewhere
from harness.leased import DRAIN_SECONDS, LeasedFleet
from harness.leased_load import load, names_of
from harness.network import BRIDGE_ADDRESS, Network
from harness.open_write import OpenWrite
from harness.safety import Counts, found
from harness.scale import Scale
from harness.table import Row
from lib.cluster import Member

REQUIRED = "never two writers of one repository, 0 acknowledged pushes lost; all are written again ≤ lease + grace + 5 s"
TAIL = 0.7
AT_WORK = 4
BEYOND_SECONDS = 3.0
HANDOVER_SECONDS = 10.0


def at_work(fleet: LeasedFleet, member: Member, names: Sequence[str], seconds: float = 0.0) -> list[OpenWrite]:
    """Pushes that the member's replica is at for most of the grace, or for so long."""
    return [open_write.manifest(member, name, seconds or TAIL * fleet.level.aftermath) for name in names[:AT_WORK]]


@pytest.mark.row(63, "all sidecars end at once and start again, their replicas go on", REQUIRED)
@pytest.mark.parametrize(
    "by", [signal.SIGKILL, signal.SIGTERM], ids=lambda by: by.name
)
def test_all_end_at_once(
    make_leased: MakeLeased, scale: Scale, row: Row, counts: Counts, tmp_path: Path, by: signal.Signals
) -> None:
    fleet = make_leased()
    names = names_of(fleet, scale.lease_repositories)
    with load(fleet.members, names, tmp_path, scale) as writers:
        # What takes longer than a drain is not waited for, and its member's lease not parked.
        lasting = DRAIN_SECONDS / 2 if by is signal.SIGTERM else 0.0
        writes = at_work(fleet, fleet.members[0], fleet.owned_by(fleet.members[0], AT_WORK), lasting)
        ended = time.monotonic()
        for member in fleet.members:
            member.sidecar.process.signal(by)
        for member in fleet.members:
            member.sidecar.process.wait(30.0)
            fleet.start(member)
        started = time.monotonic()
        back = writers.wait_for_all(names, started, 2 * fleet.level.takeover)
        row.saw(f"all were written again {back - started:.1f} s after the start")
        # Who is parked takes up its own lease; who was killed has to be waited for.
        assert back - started <= (fleet.level.takeover if by is signal.SIGKILL else fleet.level.lease + BEYOND_SECONDS)
    found(row, counts, fleet, [writers], writes, cut_at=[ended]).assert_safe()


@pytest.mark.full
@pytest.mark.row(64, "all sidecars are replaced one by one (SIGKILL), readiness awaited", REQUIRED)
def test_one_by_one(make_leased: MakeLeased, scale: Scale, row: Row, counts: Counts, tmp_path: Path) -> None:
    fleet = make_leased()
    names = names_of(fleet, scale.lease_repositories)
    writes, killed = [], []
    with load(fleet.members, names, tmp_path, scale) as writers:
        for member in fleet.members:
            writes += at_work(fleet, member, fleet.owned_by(member, AT_WORK))
            killed.append(fleet.kill(member))
            fleet.start(member)
            row.saw(f"{member.id} was ready {fleet.wait_ready(member) - killed[-1]:.1f} s after")
        back = writers.wait_for_all(names, time.monotonic(), fleet.level.takeover)
        row.saw(f"all were written again {back - killed[-1]:.1f} s after the last")
    seen = found(row, counts, fleet, [writers], writes, cut_at=killed)
    seen.assert_safe()
    seen.assert_pulls()


@pytest.mark.row(65, "the owner's sidecar dies in a write, the one who is to take over is killed too and starts again", REQUIRED)
def test_an_owner_dies_and_its_heir_starts(
    make_leased: MakeLeased, scale: Scale, row: Row, counts: Counts, tmp_path: Path
) -> None:
    fleet = make_leased()
    owner, heir, witness = fleet.members
    theirs = fleet.owned_by(owner, 2 * AT_WORK)
    after = fleet.owners([heir.id, witness.id], theirs)
    with load(fleet.members, theirs, tmp_path, scale) as writers:
        writes = at_work(fleet, owner, theirs)
        killed = [fleet.kill(owner), fleet.kill(heir)]
        fleet.start(heir)
        back = writers.wait_for_all(theirs, killed[0], 3 * fleet.level.takeover)
        row.saw(f"all were written again {back - killed[0]:.1f} s after, {sum(at == heir.id for at in after.values())} by the heir")
        # Not more than half of the members are taken off the view while a lease lasts.
        assert back - killed[0] <= fleet.level.takeover + fleet.level.lease
        first = first_write_elsewhere(fleet, owner, theirs, killed[0])
        assert first is not None and first >= fleet.level.grace, f"written elsewhere after {first} s"
    seen = found(row, counts, fleet, [writers], writes, cut_at=killed)
    seen.assert_safe()


@pytest.mark.row(66, "a member leaves during a read at which its replica writes (`registry.reads_write`)", REQUIRED)
def test_a_read_that_writes(
    make_leased: MakeLeased, scale: Scale, row: Row, counts: Counts, tmp_path: Path
) -> None:
    # Who leaves waits for as long as it may drain.
    fleet = make_leased(settings={"registry": {"reads_write": True}, "timeouts": {"drain": "50s"}})
    *others, leaver = fleet.members
    theirs = fleet.owned_by(leaver, 2 * AT_WORK)
    reads = [open_write.fetching_read(leaver, name, TAIL * fleet.level.aftermath) for name in theirs[:2]]
    reads[0].leave()
    began = time.monotonic()
    fleet.leave(leaver)
    row.saw(f"left after {time.monotonic() - began:.1f} s")
    with load(others, theirs, tmp_path, scale) as writers:
        writers.wait_for_all(theirs, began, fleet.level.takeover)
        open_write.wait_done(reads, fleet.level.takeover)
    found(row, counts, fleet, [writers], reads).assert_safe()


@pytest.mark.full
@pytest.mark.row(67, "a member is restarted (SIGKILL) with another `registry.address`, its old replica goes on", REQUIRED)
def test_a_member_comes_back_with_another_replica(
    make_leased: MakeLeased, scale: Scale, row: Row, counts: Counts, tmp_path: Path
) -> None:
    fleet = make_leased()
    owner = fleet.members[0]
    theirs = fleet.owned_by(owner, 2 * AT_WORK)
    with load(fleet.members, theirs, tmp_path, scale) as writers:
        writes = at_work(fleet, owner, theirs)
        killed = fleet.kill(owner)
        other = fleet.move_replica(owner)
        fleet.start(owner)
        back = writers.wait_for_all(theirs, killed, 2 * fleet.level.takeover)
        row.saw(f"all were written again {back - killed:.1f} s after")
        assert back - killed <= fleet.level.takeover
        fleet.wait_members(3)
        again = fleet.wait_ready(owner)
        writers.wait_for_all(theirs, again, fleet.level.takeover)
        assert other.writes(), "the other replica was never written to"
    seen = found(row, counts, fleet, [writers], writes, cut_at=[killed])
    seen.assert_safe()


@pytest.mark.full
@pytest.mark.row(68, "a member leaves with an upload under way, and its heir cannot reach it", REQUIRED)
def test_the_heir_cannot_reach_the_leaver(
    make_leased: MakeLeased, network_of_four: Network, scale: Scale, row: Row, counts: Counts, tmp_path: Path
) -> None:
    fleet = make_leased(sites=network_of_four.sites, store_host=BRIDGE_ADDRESS)
    heir, other, leaver = fleet.members
    theirs = [name for name in fleet.owned_by(leaver, 40) if fleet.owners([heir.id, other.id], [name])[name] == heir.id][:8]
    with load([heir, other], theirs, tmp_path, scale) as writers:
        uploads = [open_write.upload(leaver, name) for name in theirs[:2]]
        network_of_four.drop_calls(*network_of_four.sites[0:3:2], leaver.sidecar.place.peers)
        network_of_four.drop_calls(*network_of_four.sites[1:3], leaver.sidecar.place.peers)
        began = time.monotonic()
        fleet.leave(leaver)
        left = time.monotonic()
        back = writers.wait_for_all(theirs, left, HANDOVER_SECONDS)
        row.saw(f"left after {left - began:.1f} s, all were written again {back - began:.1f} s after")
        for upload in uploads:
            upload.finish()
        assert left - began >= fleet.level.handoff, "an upload was not waited for"
    found(row, counts, fleet, [writers], uploads).assert_safe()


@pytest.mark.full
@pytest.mark.row(69, "one of two heirs is out of file descriptors for longer than a lease, then the owner dies", REQUIRED)
def test_an_own_error_is_no_death_of_others(
    make_leased: MakeLeased, scale: Scale, row: Row, counts: Counts, tmp_path: Path
) -> None:
    fleet = make_leased()
    poor, heir, owner = fleet.members
    theirs = fleet.owned_by(owner, 2 * AT_WORK)
    pid = poor.sidecar.process.pid
    with load([heir, owner], theirs, tmp_path, scale) as writers:
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (1, limits[1]))
        # What it has open is gone, and nothing more can be opened.
        fleet.leases.is_to("fine", poor.id)
        since = time.monotonic()
        time.sleep(fleet.level.lease + BEYOND_SECONDS)
        assert set(fleet.leases.fenced(since)) <= {poor.id}
        writers.wait_for_all(theirs, time.monotonic(), HANDOVER_SECONDS)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        fleet.wait_members(3)
        fleet.wait_ready(poor)
        writes = at_work(fleet, owner, theirs)
        killed = fleet.kill(owner)
        back = writers.wait_for_all(theirs, killed, 2 * fleet.level.takeover)
        row.saw(f"all were written again {back - killed:.1f} s after the death")
        assert back - killed <= fleet.level.takeover
    found(row, counts, fleet, [writers], writes, cut_at=[killed]).assert_safe()


@pytest.mark.full
@pytest.mark.row(70, "a new member and the old owner, which has an upload, cannot reach each other", REQUIRED)
def test_a_newcomer_cannot_reach_the_owner(
    make_leased: MakeLeased, network_of_four: Network, scale: Scale, row: Row, counts: Counts, tmp_path: Path
) -> None:
    fleet = make_leased(sites=network_of_four.sites, store_host=BRIDGE_ADDRESS)
    *others, owner = fleet.members
    four = [*fleet.leases.members(), "member-4"]
    moving = [name for name in fleet.owned_by(owner, 60) if fleet.owners(four, [name])[name] == "member-4"][:6]
    assert moving
    network_of_four.drop(network_of_four.sites[3], network_of_four.sites[2])
    with load(others, moving, tmp_path, scale) as writers:
        uploads = [open_write.upload(owner, name) for name in moving[:2]]
        began = time.monotonic()
        newcomer = fleet.add()
        fleet.wait_members(4)
        fleet.wait_ready(newcomer)
        back = writers.wait_for_all(moving, time.monotonic(), HANDOVER_SECONDS)
        row.saw(f"all were written again {back - began:.1f} s after")
        for upload in uploads:
            upload.finish()
        assert newcomer.replica.writes(), "the newcomer has never written"
    found(row, counts, fleet, [writers], uploads).assert_safe()


@pytest.mark.row(
    71,
    "the owner's sidecar dies, its replica is at a push for longer than lease and grace",
    "taken over after lease and grace, not before; L1 loses nothing, what L0 loses is counted",
)
@pytest.mark.parametrize("level", [pytest.param("L0", marks=pytest.mark.full), "L1"])
def test_a_replica_slower_than_the_grace(
    make_leased: MakeLeased, scale: Scale, row: Row, counts: Counts, tmp_path: Path, level: str
) -> None:
    fleet = make_leased(level)
    *others, owner = fleet.members
    theirs = fleet.owned_by(owner, 2 * AT_WORK)
    with load(others, theirs, tmp_path, scale) as writers:
        writes = at_work(fleet, owner, theirs, fleet.level.takeover)
        killed = fleet.kill(owner)
        back = writers.wait_for_all(theirs[AT_WORK:], killed, 2 * fleet.level.takeover)
        first = first_write_elsewhere(fleet, owner, theirs, killed)
        row.saw(f"another replica wrote {first:.1f} s after, all were written by {back - killed:.1f} s")
        open_write.wait_done(writes, 2 * fleet.level.takeover)
    # It was renewed at most one renewal before the death.
    assert first >= fleet.level.lease - fleet.level.renew + fleet.level.grace - BEYOND_SECONDS
    seen = found(row, counts, fleet, [writers], writes, cut_at=[killed])
    assert not seen.in_store and not seen.verdict.by_strangers
    if fleet.level.kills:
        seen.assert_safe()


@pytest.mark.full
@pytest.mark.row(
    72,
    "a member that is killed is gone for good, and so is the next one: of three one is left",
    "the one that is left writes everything",
)
def test_one_is_left(make_leased: MakeLeased, scale: Scale, row: Row, counts: Counts, tmp_path: Path) -> None:
    fleet = make_leased()
    left, *others = fleet.members
    names = names_of(fleet, scale.lease_repositories)
    killed = []
    with load(fleet.members, names, tmp_path, scale) as writers:
        for member in others:
            killed.append(fleet.kill(member))
            back = writers.wait_for_all(names, killed[-1], 3 * fleet.level.takeover)
            row.saw(f"all were written again {back - killed[-1]:.1f} s after")
        assert fleet.leases.members() == [left.id]
    seen = found(row, counts, fleet, [writers], cut_at=killed)
    seen.assert_safe()
    seen.assert_pulls()
