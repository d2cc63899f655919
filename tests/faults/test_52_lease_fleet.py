"""A fleet with leases that changes on purpose: nobody who pushes or pulls sees anything of it."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest
from conftest import MakeLeased
from harness.leased import LeasedFleet
from harness.leased_load import load, names_of
from harness.safety import Counts, found
from harness.scale import Scale
from harness.table import Row

SETTLED_SECONDS = 5.0
# Of these it is counted how many have another owner after a change.
SAMPLES = 3000
UNSEEN = "0 failed pushes, 0 failed pulls, 0 lost"
# What goes on before and after.
STEADY_SECONDS = 2.0


def settling(fleet: LeasedFleet, since: float) -> float:
    """The longest time that a view was unsettled, of those that were put after this."""
    begun, longest = 0.0, 0.0
    for put in fleet.leases.puts():
        if put.key != "view" or put.at < since:
            continue
        if put.value["chain"]:
            begun = begun or put.at
        elif begun:
            longest, begun = max(longest, put.at - begun), 0.0
    assert not begun, "a view was never settled"
    return longest


def tell_moves(row: Row, fleet: LeasedFleet, before: list[str], after: list[str]) -> None:
    """Of all repositories those move that the member has, which came or went: 1/N of them, but for chance."""
    names = [f"sample/{number}" for number in range(SAMPLES)]
    old, new = fleet.owners(before, names), fleet.owners(after, names)
    moved = sum(old[name] != new[name] for name in names)
    share = 1 / max(len(before), len(after))
    sigma = math.sqrt(SAMPLES * share * (1 - share))
    row.saw(f"{moved} of {SAMPLES} repositories moved, {SAMPLES * share:.0f} ± {3 * sigma:.0f} are due")
    assert abs(moved - SAMPLES * share) <= 3 * sigma


@pytest.mark.row(
    55, "a member leaves for good under load, and another one joins", f"each settles ≤ 5 s; moves 1/N ± 3σ; {UNSEEN}"
)
def test_a_member_leaves_and_one_joins(
    make_leased: MakeLeased, scale: Scale, row: Row, counts: Counts, tmp_path: Path
) -> None:
    fleet = make_leased()
    names = names_of(fleet, scale.lease_repositories)
    with load(fleet.places[:4], names, tmp_path, scale) as writers:
        before = fleet.leases.members()
        leaver, began = fleet.members[-1], time.monotonic()
        fleet.leave(leaver)
        left = time.monotonic()
        row.saw(f"left after {left - began:.1f} s")
        fleet.wait_members(2)
        assert left - began <= SETTLED_SECONDS + fleet.level.handoff
        writers.wait_for_all(names, left, SETTLED_SECONDS)
        tell_moves(row, fleet, before, fleet.leases.members())
        before, joins = fleet.leases.members(), time.monotonic()
        joiner = fleet.add()
        fleet.wait_members(3)
        ready = fleet.wait_ready(joiner)
        row.saw(f"joined {ready - joins:.1f} s after its start")
        tell_moves(row, fleet, before, fleet.leases.members())
        writers.wait_for_all(names, ready, SETTLED_SECONDS)
        longest = settling(fleet, began)
    row.saw(f"views settled after {longest:.1f} s at most")
    assert longest <= SETTLED_SECONDS
    assert not fleet.leases.fenced()
    found(row, counts, fleet, [writers]).assert_unharmed()


@pytest.mark.row(
    56,
    "every member is restarted in turn (SIGTERM) under load, with a lease that is kept meanwhile",
    f"{UNSEEN}; no view changes",
)
def test_rolling_restart(make_leased: MakeLeased, scale: Scale, row: Row, counts: Counts, tmp_path: Path) -> None:
    fleet = make_leased()
    names = names_of(fleet, scale.lease_repositories)
    with load(fleet.members, names, tmp_path, scale) as writers:
        view = fleet.leases.view()["now"]["epoch"]
        for member in fleet.members:
            began = time.monotonic()
            fleet.end(member)
            ended = time.monotonic()
            fleet.start(member)
            ready = fleet.wait_ready(member)
            row.saw(f"{member.id} ended in {ended - began:.1f} s and was ready after {ready - ended:.1f} s")
            writers.wait_for_all(names, ready, fleet.level.takeover)
        assert fleet.leases.view()["now"]["epoch"] == view, "a restart has cost a member its place"
    assert not fleet.leases.fenced()
    found(row, counts, fleet, [writers]).assert_unharmed()


@pytest.mark.row(57, "three members become five (ten at full size) and three again, under load", UNSEEN)
def test_a_fleet_grows_and_shrinks(
    make_leased: MakeLeased, scale: Scale, row: Row, counts: Counts, tmp_path: Path
) -> None:
    fleet = make_leased()
    names = names_of(fleet, scale.lease_repositories)
    with load(fleet.places[: scale.lease_grows_to], names, tmp_path, scale) as writers:
        began = time.monotonic()
        # All at once, as when somebody sets a number.
        joiners = [fleet.add() for _ in range(scale.lease_grows_to - len(fleet.members))]
        grown = fleet.wait_members(scale.lease_grows_to)
        row.saw(f"{scale.lease_grows_to} members {grown - began:.1f} s after the first of them began")
        for member in joiners:
            writers.wait_for_all(names, fleet.wait_ready(member), fleet.level.takeover)
        shrinks = time.monotonic()
        for member in reversed(joiners):
            fleet.leave(member)
        shrunk = fleet.wait_members(3)
        row.saw(f"three again {shrunk - shrinks:.1f} s after the first was to leave")
        writers.wait_for_all(names, time.monotonic(), fleet.level.takeover)
    assert not fleet.leases.fenced()
    found(row, counts, fleet, [writers]).assert_unharmed()
