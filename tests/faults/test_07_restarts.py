"""Restarts with another list, while a replica is at a write: what a process knew is gone with it."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from conftest import MakeFleet
from harness import open_write
from harness.fleet import Fleet, View
from harness.grace import BACK_SECONDS, REQUIRED, START_SECONDS, TAIL, pinned_names
from harness.judge import conclude, first_write_elsewhere, tell_takeover
from harness.open_write import OpenWrite
from harness.table import Row
from harness.writers import Writers
from lib.cluster import Member
from lib.process import wait_until

REPOSITORIES = 8
# Of these the owner is at a long write when it happens.
AT_WORK = 4
NAMES = pinned_names(REPOSITORIES)


def begin(writers: Writers, names: list[str]) -> None:
    writers.wait_for_all(names, 0.0, START_SECONDS)


def long_writes(owner: Member, aftermath: float, names: list[str] = NAMES) -> list[OpenWrite]:
    return [open_write.manifest(owner, name, TAIL * aftermath) for name in names[:AT_WORK]]


def pinned(fleet: Fleet, owner: str, count: int = 3) -> View:
    return fleet.view_of(count, pins={"moved": owner})


@pytest.mark.row(16, "all sidecars are replaced at once with another list, their replicas go on", REQUIRED)
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM], ids=lambda by: by.name)
def test_all_are_replaced_at_once(
    make_fleet: MakeFleet, row: Row, tmp_path: Path, aftermath: float, by: signal.Signals
) -> None:
    fleet = make_fleet()
    old, new = fleet.view_of(3), fleet.view_of(4)
    names = fleet.moving(old, new, REPOSITORIES)
    with Writers(fleet.members, names, tmp_path) as writers:
        begin(writers, names)
        at_work = [open_write.manifest(fleet.owner(old, name), name, TAIL * aftermath) for name in names[:AT_WORK]]
        fleet.replace_all(new, by)
        replaced = time.monotonic()
        back = writers.wait_for_all(names, replaced, aftermath + BACK_SECONDS)
        open_write.wait_done(at_work, aftermath)
    fourth = fleet.replicas[3]
    begun = min(write.begun for write in fourth.writes() if write.begun > replaced)
    row.saw(f"the new owner wrote {begun - replaced:.2f} s after, all were taken again {back - replaced:.2f} s after")
    conclude(row, fleet, [writers], at_work)


@pytest.mark.row(
    17, "all sidecars are replaced one by one (SIGKILL), readiness awaited; the new owner is the last", REQUIRED
)
def test_the_new_owner_is_replaced_last(make_fleet: MakeFleet, row: Row, tmp_path: Path, aftermath: float) -> None:
    fleet = make_fleet(view=lambda fleet: pinned(fleet, "member-1"))
    owner, heir, witness = fleet.members
    new = pinned(fleet, heir.id)
    with Writers(fleet.members, NAMES, tmp_path) as writers:
        begin(writers, NAMES)
        at_work = long_writes(owner, aftermath)
        killed = time.monotonic()
        for member in (owner, witness, heir):
            fleet.restart(member, new)
            fleet.wait_ready(member)
        replaced = time.monotonic()
        back = writers.wait_for_all(NAMES, replaced, aftermath + BACK_SECONDS)
        open_write.wait_done(at_work, aftermath)
    tell_takeover(row, fleet, owner, NAMES, killed)
    row.saw(f"all were taken again {back - replaced:.2f} s after the last was ready")
    conclude(row, fleet, [writers], at_work)


@pytest.mark.row(18, "the owner's sidecar dies in a write, a peer is reloaded, the new owner is restarted", REQUIRED)
def test_an_owner_dies_and_its_heir_starts(make_fleet: MakeFleet, row: Row, tmp_path: Path, aftermath: float) -> None:
    fleet = make_fleet({"writes": {"hold": "1s"}}, view=lambda fleet: pinned(fleet, "member-1"))
    owner, heir, witness = fleet.members
    new = pinned(fleet, heir.id)
    with Writers(fleet.members, NAMES, tmp_path) as writers:
        begin(writers, NAMES)
        at_work = long_writes(owner, aftermath)
        killed = time.monotonic()
        owner.sidecar.process.kill()
        fleet.reload(witness, new)
        fleet.restart(heir, new)
        open_write.wait_done(at_work, aftermath)
        # It is listed still, and nobody knows whether it is dead or only out of reach.
        over = killed + aftermath
        wait_until("a push begun after aftermath to be refused", lambda: refused(writers, over), aftermath + BACK_SECONDS)
        assert first_write_elsewhere(fleet, owner, NAMES, killed) is None, "the heir wrote beside a listed owner"
        fleet.restart(owner, new)
        returned = time.monotonic()
        back = writers.wait_for_all(NAMES, returned, aftermath + BACK_SECONDS)
    row.saw(f"the heir wrote nothing while the owner was listed and silent; all were taken {back - returned:.2f} s after it was back")
    conclude(row, fleet, [writers], at_work)


def refused(writers: Writers, since: float) -> bool:
    return any(push.begun >= since and push.status == 503 for push in writers.done())


@pytest.mark.row(19, "a member is renamed in place: reloads of the others, a restart of its own", REQUIRED)
def test_a_member_is_renamed_in_place(make_fleet: MakeFleet, row: Row, tmp_path: Path, aftermath: float) -> None:
    fleet = make_fleet()
    one, other, renamed = fleet.members
    old, new = fleet.view_of(3), fleet.view_of(3, renamed={renamed.id: "renamed"})
    fleet.ids_of[renamed.replica.name].add("renamed")
    moving = [*fleet.moving(old, new, AT_WORK, to=one.id), *fleet.moving(old, new, AT_WORK, to="renamed")]
    staying = fleet.staying(old, new, AT_WORK, owner=other.id)
    names = [*moving, *staying]
    with Writers(fleet.members, names, tmp_path) as writers:
        begin(writers, names)
        at_work = long_writes(renamed, aftermath, moving)
        began = time.monotonic()
        for member in (one, other):
            fleet.reload(member, new)
        fleet.set_own(renamed, {"member": "renamed"})
        fleet.restart(renamed, new)
        back = writers.wait_for_all(names, time.monotonic(), aftermath + BACK_SECONDS)
        open_write.wait_done(at_work, aftermath)
    tell_takeover(row, fleet, renamed, moving, began)
    row.saw(f"all were taken again {back - began:.2f} s after")
    conclude(row, fleet, [writers], at_work)
