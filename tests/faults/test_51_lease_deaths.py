"""Members with leases that die or are stopped: what was theirs is written by others, and nobody writes beside them."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from conftest import MakeLeased
from harness import open_write
from harness.leased_load import HELD_SECONDS, load, names_of, of_one, wait_for_takeover
from harness.safety import Counts, found
from harness.scale import Scale
from harness.table import Row

LEVELS = ["L0", "L1"]
AT_WORK = 3
# What a push takes whose last byte comes late.
LATE_SECONDS = 0.3
# A sidecar that was stopped has found out by then.
AWAKE_SECONDS = 3.0
# How long a push that a replica is at takes, as a part of the grace.
TAIL = 0.7


@pytest.mark.row(
    53,
    "SIGKILL of a member in the middle of pushes, then its return",
    "written again ≤ lease + grace + 5 s; no pull fails; with a hold of 25 s no push but those in the middle",
)
@pytest.mark.parametrize("level", LEVELS)
def test_a_member_dies(
    make_leased: MakeLeased, scale: Scale, row: Row, counts: Counts, tmp_path: Path, level: str
) -> None:
    fleet = make_leased(level)
    victim = fleet.members[-1]
    names = names_of(fleet, scale.lease_repositories)
    theirs = of_one(fleet, victim, names)
    with load(fleet.members, names, tmp_path, scale) as writers:
        at_work = [open_write.manifest(victim, name, TAIL * fleet.level.aftermath) for name in theirs[:AT_WORK]]
        killed = fleet.kill(victim)
        wait_for_takeover(row, fleet, writers, theirs, killed)
        assert fleet.leases.fenced(killed) == [victim.id]
        fleet.start(victim)
        fleet.wait_members(3)
        returned = fleet.wait_ready(victim)
        writers.wait_for_all(names, returned, fleet.level.takeover)
    seen = found(row, counts, fleet, [writers], at_work, cut_at=[killed])
    seen.assert_safe()
    seen.assert_pulls()
    if fleet.level.takeover < HELD_SECONDS:
        seen.assert_unharmed()


@pytest.mark.row(
    54,
    "SIGSTOP of a member in the middle of pushes, for longer than its lease and the grace",
    "written again as after a death; when it wakes it writes nothing: L1 loses nothing, what L0 loses is counted",
)
@pytest.mark.parametrize("level", [pytest.param("L0", marks=pytest.mark.full), "L1"])
def test_a_member_is_stopped(
    make_leased: MakeLeased, scale: Scale, row: Row, counts: Counts, tmp_path: Path, level: str
) -> None:
    fleet = make_leased(level)
    *others, stopped = fleet.members
    names = names_of(fleet, scale.lease_repositories)
    theirs = of_one(fleet, stopped, names)
    with load(others, names, tmp_path, scale) as writers:
        late = [open_write.unfinished_manifest(stopped, name, LATE_SECONDS) for name in theirs[:AT_WORK]]
        stopped.sidecar.process.signal(signal.SIGSTOP)
        since = time.monotonic()
        fleet.wait_unheard(stopped)
        # New clients: those before may be waiting for the one that is stopped.
        with load(others, theirs, tmp_path, scale, first=2 * fleet.level.takeover) as late_writers:
            back = wait_for_takeover(row, fleet, late_writers, theirs, since)
        assert fleet.leases.fenced(since) == [stopped.id]
        for write in late:
            write.send_rest()
        stopped.sidecar.process.signal(signal.SIGCONT)
        awake = time.monotonic()
        for write in late:
            write.finish()
        row.saw(f"the late pushes were answered {sorted(write.status for write in late)}")
        fleet.wait_members(3)
        writers.wait_for_all(names, awake + AWAKE_SECONDS, fleet.level.takeover)
    assert back < awake
    assert fleet.leases.fenced(since) == [stopped.id], "whoever was away has taken a lease from somebody"
    seen = found(row, counts, fleet, [writers, late_writers], late, stopped_at=[since])
    if fleet.level.kills:
        seen.assert_safe()
    assert not seen.in_store, seen.in_store
    assert not seen.verdict.by_strangers
    seen.assert_pulls()
