"""Members that live and cannot be heard: whoever takes them for dead becomes a second writer."""

from __future__ import annotations

import resource
import signal
import time
from pathlib import Path

import pytest
from conftest import MakeFleet
from harness import open_write
from harness.fleet import Fleet, View
from harness.grace import BACK_SECONDS, REQUIRED, START_SECONDS, TAIL, pinned_names
from harness.judge import conclude, tell_takeover, watch
from harness.network import Network
from harness.open_write import OpenWrite
from harness.table import Row
from harness.writers import Writers
from lib.cluster import Member

REPOSITORIES = 6
BEYOND_SECONDS = 3.0
NAMES = pinned_names(REPOSITORIES)
# To these the owner has an upload, which has not ended when the others have waited long enough.
AT_WORK = NAMES[:2]
LAST = "member-3"


def owned_by_the_last(fleet: Fleet) -> View:
    return fleet.view_of(3, pins={"moved": LAST})


def without_the_last(fleet: Fleet) -> View:
    return fleet.view_of(2, pins={"moved": "member-1"})


def uploads(member: Member) -> list[OpenWrite]:
    return [open_write.upload(member, name) for name in AT_WORK]


def end(row: Row, fleet: Fleet, writers: Writers, open_writes: list[OpenWrite], since: float, grace: float) -> None:
    """The uploads end, and so does the member that had them: what was its is taken over, and not before."""
    tell_takeover(row, fleet, fleet.members[2], AT_WORK, since)
    for write in open_writes:
        write.finish()
    fleet.members[2].sidecar.process.stop()
    gone = time.monotonic()
    back = writers.wait_for_all(NAMES, gone, grace + BACK_SECONDS)
    row.saw(f"all were taken {back - gone:.2f} s after its end")
    writers.end()
    conclude(row, fleet, [writers], open_writes)


@pytest.mark.row(
    20,
    "a member leaves the list; its heir cannot reach it, but is asked by it",
    "never two writers of one repository, 0 acknowledged pushes lost; all are taken again ≤ twice aftermath + 10 s",
)
def test_a_member_that_asks_is_alive(
    make_fleet: MakeFleet, network_of_four: Network, row: Row, tmp_path: Path, aftermath: float
) -> None:
    fleet = make_fleet(sites=network_of_four.sites, view=owned_by_the_last)
    heir, other, leaver = fleet.members
    with Writers(fleet.members, NAMES, tmp_path) as writers:
        writers.wait_for_all(NAMES, 0.0, START_SECONDS)
        open_writes = uploads(leaver)
        network_of_four.drop_calls(*network_of_four.sites[0:3:2], leaver.sidecar.place.peers)
        since = time.monotonic()
        for member in (heir, other):
            fleet.reload(member, without_the_last(fleet))
        watch(fleet, leaver, AT_WORK, since, aftermath + BEYOND_SECONDS)
        # Nothing is refused to the heir, so to it the leaver may have lived for a part of its silence.
        end(row, fleet, writers, open_writes, since, 2 * aftermath)


@pytest.mark.row(
    21, "the heir is stopped (SIGSTOP) for longer than aftermath; when it wakes, one question is lost", REQUIRED
)
def test_an_own_absence_is_no_silence_of_others(
    make_fleet: MakeFleet, row: Row, tmp_path: Path, aftermath: float
) -> None:
    fleet = make_fleet(view=owned_by_the_last)
    heir, other, leaver = fleet.members
    with Writers(fleet.members, NAMES, tmp_path) as writers:
        writers.wait_for_all(NAMES, 0.0, START_SECONDS)
        open_writes = uploads(leaver)
        for member in (heir, other):
            fleet.reload(member, without_the_last(fleet))
        # It has asked and knows that the other is there.
        watch(fleet, leaver, AT_WORK, time.monotonic(), 1.0)
        heir.sidecar.process.signal(signal.SIGSTOP)
        time.sleep(aftermath + 1.0)
        leaver.sidecar.process.signal(signal.SIGSTOP)
        since = time.monotonic()
        heir.sidecar.process.signal(signal.SIGCONT)
        # Silent for much less than the grace.
        watch(fleet, leaver, AT_WORK, since, 0.5 * aftermath)
        leaver.sidecar.process.signal(signal.SIGCONT)
        watch(fleet, leaver, AT_WORK, since, aftermath)
        end(row, fleet, writers, open_writes, since, aftermath)


@pytest.mark.row(22, "the heir is out of file descriptors for longer than aftermath", REQUIRED)
def test_an_own_error_is_no_silence_of_others(
    make_fleet: MakeFleet, row: Row, tmp_path: Path, aftermath: float
) -> None:
    fleet = make_fleet(view=owned_by_the_last)
    heir, other, leaver = fleet.members
    own = fleet.staying(owned_by_the_last(fleet), without_the_last(fleet), len(AT_WORK), owner=heir.id)
    pid = heir.sidecar.process.pid
    with Writers(fleet.members, [*NAMES, *own], tmp_path) as writers:
        writers.wait_for_all([*NAMES, *own], 0.0, START_SECONDS)
        open_writes = uploads(leaver)
        for member in (heir, other):
            fleet.reload(member, without_the_last(fleet))
        watch(fleet, leaver, AT_WORK, time.monotonic(), 1.0)
        # What is open stays open, nothing more can be.
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (1, limits[1]))
        since = time.monotonic()
        # Its question over the connection that it has is lost, so the next one takes another.
        leaver.sidecar.process.signal(signal.SIGSTOP)
        watch(fleet, leaver, AT_WORK, since, 1.5)
        leaver.sidecar.process.signal(signal.SIGCONT)
        watch(fleet, leaver, AT_WORK, since, aftermath + BEYOND_SECONDS)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        end(row, fleet, writers, open_writes, since, aftermath)


@pytest.mark.row(23, "a new member cannot reach the old owner; two others know that it lives", REQUIRED)
def test_others_know_of_a_member_that_cannot_be_reached(
    make_fleet: MakeFleet, network_of_four: Network, row: Row, tmp_path: Path, aftermath: float
) -> None:
    fleet = make_fleet(sites=network_of_four.sites, view=owned_by_the_last)
    one, other, owner = fleet.members
    new = fleet.view_of(4, pins={"moved": "member-4"})
    with Writers(fleet.members, NAMES, tmp_path) as writers:
        writers.wait_for_all(NAMES, 0.0, START_SECONDS)
        open_writes = uploads(owner)
        network_of_four.drop_calls(*network_of_four.sites[3:1:-1], owner.sidecar.place.peers)
        since = time.monotonic()
        fleet.add(new)
        for member in (one, other):
            fleet.reload(member, new)
        watch(fleet, owner, AT_WORK, since, aftermath + BEYOND_SECONDS)
        tell_takeover(row, fleet, owner, AT_WORK, since)
        for write in open_writes:
            write.finish()
        fleet.reload(owner, new)
        network_of_four.join()
        done = time.monotonic()
        back = writers.wait_for_all(NAMES, done, aftermath + BACK_SECONDS)
    row.saw(f"all were taken {back - done:.2f} s after its reload")
    conclude(row, fleet, [writers], open_writes)


@pytest.mark.row(
    24, "two members never reached each other; by reloads of all, one takes over from the other", REQUIRED
)
def test_a_peer_that_was_never_heard_is_waited_for(
    make_fleet: MakeFleet, network_of_four: Network, row: Row, tmp_path: Path, aftermath: float
) -> None:
    network_of_four.drop(*network_of_four.sites[0:3:2])
    fleet = make_fleet(sites=network_of_four.sites, view=owned_by_the_last)
    heir, other, owner = fleet.members
    new = fleet.view_of(3, pins={"moved": heir.id})
    # The heir's clients cannot be served before: it does not reach the owner.
    with Writers([other, owner], NAMES, tmp_path) as writers, Writers([heir], NAMES, tmp_path) as late_writers:
        writers.wait_for_all(NAMES, 0.0, START_SECONDS)
        open_writes = uploads(owner)
        pushes = [open_write.manifest(owner, name, TAIL * aftermath) for name in NAMES[len(AT_WORK) :]]
        since = time.monotonic()
        for member in (heir, other, owner):
            fleet.reload(member, new)
        watch(fleet, owner, AT_WORK, since, aftermath + BEYOND_SECONDS)
        tell_takeover(row, fleet, owner, AT_WORK, since)
        for write in open_writes:
            write.finish()
        open_write.wait_done(pushes, aftermath)
        done = time.monotonic()
        back = late_writers.wait_for_all(NAMES, done, aftermath + BACK_SECONDS)
    row.saw(f"all were taken {back - done:.2f} s after the last upload")
    conclude(row, fleet, [writers, late_writers], [*open_writes, *pushes])
