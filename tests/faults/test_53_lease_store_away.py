"""A store of leases that is away, slow, loses answers or lies, for all or for one; and members that lose each other."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from conftest import MakeLeased
from harness.ask import once
from harness.leased import LeasedFleet
from harness.leased_load import HELD_SECONDS, load, names_of
from harness.network import BRIDGE_ADDRESS, Network
from harness.safety import Counts, found
from harness.scale import Scale
from harness.table import Row
from harness.writers import REFUSED
from lib.process import wait_until

HOLD: dict = {"writes": {"hold": "2s"}}
# A request that a replica has from before.
EARLY_SECONDS = 0.25
# What a client and this machine may take beside the store.
LATE_SECONDS = 1.5
SLOW_RENEWALS = 3
PROBE_SECONDS = 10.0
REFUSED_SECONDS = 30.0


def writes_between(fleet: LeasedFleet, begin: float, end: float) -> list[str]:
    writes = [write for replica in fleet.replicas for write in replica.writes()]
    return [str(write) for write in writes if begin < write.begun < end]


@pytest.mark.row(
    58,
    "the store is away for all, for longer than a lease (5 min at full size)",
    "written until the lease is nearly over, then held, then 503; every pull is answered; nobody is fenced; "
    "written again ≤ two renewals after",
)
@pytest.mark.parametrize(
    "how", ["refused", *(pytest.param(how, marks=pytest.mark.full) for how in ("hanging", "failing"))]
)
def test_the_store_is_away(
    make_leased: MakeLeased, scale: Scale, row: Row, counts: Counts, tmp_path: Path, how: str
) -> None:
    fleet = make_leased(settings=HOLD)
    level = fleet.level
    names = names_of(fleet, scale.lease_repositories)
    # For all of the time in one of the ways.
    seconds = scale.lease_outage if how == "refused" else level.lease + 5.0
    with load(fleet.members, names, tmp_path, scale) as writers:
        fleet.leases.is_to(how)
        away = time.monotonic()
        over = away + level.lease - level.guard
        time.sleep(seconds)
        back = time.monotonic()
        fleet.leases.is_to("fine")
        again = writers.wait_for_all(names, back, 2 * level.takeover)
    assert writes_between(fleet, away, away + level.lease / 2), "writes ended when the store went, not with the lease"
    late = writes_between(fleet, over + EARLY_SECONDS, back)
    assert not late, f"{len(late)} writes without a lease: {late[:3]}"
    refused = [push for push in writers.failed(away) if not push.is_pull]
    assert refused and {push.status for push in refused} == {REFUSED}, writers.outcomes(away)
    first = min(push.ended for push in refused) - away
    row.saw(f"the first push was refused {first:.1f} s after, {len(refused)} in all")
    row.saw(f"written again {again - back:.1f} s after its return")
    assert again - back <= 2 * level.renew + LATE_SECONDS
    assert not fleet.leases.fenced()
    seen = found(row, counts, fleet, [writers])
    seen.assert_safe()
    seen.assert_pulls()


@pytest.mark.row(
    59,
    "one member alone cannot reach the store",
    "written by it until its lease is over, and elsewhere from then on as after a death; back when it can",
)
@pytest.mark.parametrize("level", [pytest.param("L0", marks=pytest.mark.full), "L1"])
def test_one_member_cannot_reach_the_store(
    make_leased: MakeLeased, scale: Scale, row: Row, counts: Counts, tmp_path: Path, level: str
) -> None:
    fleet = make_leased(level)
    *others, lonely = fleet.members
    names = names_of(fleet, scale.lease_repositories)
    theirs = fleet.owned_by(lonely, 4)
    with load(others, [*names, *theirs], tmp_path, scale) as writers:
        fleet.leases.is_to("hanging", lonely.id)
        away = time.monotonic()
        # A new client: those before may be waiting for the one that is alone.
        with load(others, theirs, tmp_path, scale) as late:
            taken = late.wait_for_all(theirs, away + fleet.level.lease, 2 * fleet.level.takeover)
        row.saw(f"written elsewhere {taken - away:.1f} s after")
        assert taken - away <= fleet.level.lease + fleet.level.takeover
        assert fleet.leases.fenced() == [lonely.id]
        over = away + fleet.level.lease - fleet.level.guard + EARLY_SECONDS
        own = [write for write in lonely.replica.writes() if write.begun > over]
        assert not own, f"{own[0]}, without a lease"
        fleet.leases.is_to("fine", lonely.id)
        fleet.wait_members(3)
        back = fleet.wait_ready(lonely)
        writers.wait_for_all([*names, *theirs], back, fleet.level.takeover)
    # At L1 its replica was killed when its lease was over, in the middle of a push maybe.
    seen = found(row, counts, fleet, [writers, late], cut_at=fleet.warden.killed_at)
    seen.assert_safe()
    seen.assert_pulls()
    if fleet.level.takeover < HELD_SECONDS:
        seen.assert_unharmed()


@pytest.mark.row(
    60,
    "one member reaches the store, and no other member",
    "its lease is renewed, so nobody takes what is its; through it that is written; every pull is answered",
)
def test_members_lose_each_other(
    make_leased: MakeLeased, network_of_four: Network, scale: Scale, row: Row, counts: Counts, tmp_path: Path
) -> None:
    sites = network_of_four.sites[:3]
    fleet = make_leased(sites=sites, store_host=BRIDGE_ADDRESS, settings=HOLD)
    *others, lonely = fleet.members
    names = names_of(fleet, scale.lease_repositories)
    theirs = fleet.owned_by(lonely, 4)
    rest = [name for name in names if fleet.owners(fleet.leases.members(), [name])[name] != lonely.id]
    with load(others, rest, tmp_path, scale) as writers, load([lonely], theirs, tmp_path, scale) as own:
        for site in sites[:2]:
            network_of_four.drop(site, sites[2])
        parted = time.monotonic()
        time.sleep(fleet.level.takeover)
        for clients, of in ((writers, rest), (own, theirs)):
            clients.wait_for_all(of, time.monotonic(), PROBE_SECONDS)
        through_others = once(others[0], "PUT", f"/v2/{theirs[0]}/manifests/never", b"{}")
        row.saw(f"what is its through another: {through_others}")
        assert through_others.status == REFUSED and through_others.retry_after
        assert not fleet.leases.fenced(parted)
        network_of_four.join()
        joined = time.monotonic()
        taken = lambda: once(others[0], "PUT", f"/v2/{theirs[0]}/manifests/again", b"{}").status == 201  # noqa: E731
        wait_until("members to find each other", taken, fleet.level.takeover)
        row.saw(f"written through another {time.monotonic() - joined:.1f} s after")
    found(row, counts, fleet, [writers, own]).assert_unharmed()


@pytest.mark.row(
    61,
    "the store takes 0.5 s for every call; it does every put and answers none; it fails every third call",
    "0 failed pushes, 0 failed pulls; nobody is fenced",
)
# Of which it is not known whether it was done, a renewal is worth what a read finds a second later: with the short leases of
# the small size that is too late.
@pytest.mark.parametrize("how", ["flaky", *(pytest.param(how, marks=pytest.mark.full) for how in ("slow", "lost"))])
def test_the_store_is_bad(
    make_leased: MakeLeased, scale: Scale, row: Row, counts: Counts, tmp_path: Path, how: str
) -> None:
    fleet = make_leased()
    names = names_of(fleet, scale.lease_repositories)
    with load(fleet.members, names, tmp_path, scale) as writers:
        fleet.leases.is_to(how)
        time.sleep(SLOW_RENEWALS * fleet.level.lease)
        writers.wait_for_all(names, time.monotonic(), PROBE_SECONDS)
        fleet.leases.is_to("fine")
    assert not fleet.leases.fenced()
    found(row, counts, fleet, [writers]).assert_unharmed()


@pytest.mark.row(
    62, "a store that takes conditions and ignores them", "refused at the start, with a message that says so"
)
@pytest.mark.parametrize("how", [pytest.param("careless", marks=pytest.mark.full), "racing"])
def test_a_store_that_ignores_conditions(make_leased: MakeLeased, row: Row, how: str) -> None:
    fleet = make_leased(count=0, settings=HOLD)
    fleet.leases.is_to(how)
    member = fleet.add()

    def said() -> str:
        events = (json.loads(line) for line in member.sidecar.process.text().splitlines())
        return next((event["message"] for event in events if "written by this member" in event["message"]), "")

    row.saw(wait_until("the member to refuse the store", said, REFUSED_SECONDS))
    answer = once(member, "PUT", "/v2/some/name/manifests/tag", b"{}")
    assert answer.status == REFUSED, answer
    assert not member.sidecar.is_ready()
    assert not fleet.leases.members()
