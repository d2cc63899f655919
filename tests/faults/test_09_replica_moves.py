"""Another replica beside the same member, and reads at which a replica writes."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import MakeFleet
from harness import open_write
from harness.ask import once
from harness.fleet import Fleet, View
from harness.grace import BACK_SECONDS, REQUIRED, START_SECONDS, TAIL, pinned_names
from harness.judge import conclude, tell_takeover
from harness.table import Row
from harness.writers import Writers

REPOSITORIES = 6
AT_WORK = 2
READERS = 24
AWAY_SECONDS = 1.0
OTHER_HOST = "127.0.0.21"
NOBODYS_HOST = "127.0.0.20"
REPLICA_NAME = "replica.test"
NAMES = pinned_names(REPOSITORIES)
READS_WRITE = {"registry": {"reads_write": True}}
# Puts the file that is named first over /etc/hosts, for the program that follows and its children alone.
OWN_HOSTS = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"')


def owned_by_the_first(fleet: Fleet) -> View:
    return fleet.view_of(3, pins={"moved": "member-1"})


def can_have_own_hosts(hosts: Path) -> bool:
    return subprocess.run([*OWN_HOSTS, str(hosts), "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.row(
    25, "a member is restarted (SIGKILL) with another `registry.address`, its old replica goes on", REQUIRED
)
def test_a_member_comes_back_with_another_replica(
    make_fleet: MakeFleet, row: Row, tmp_path: Path, aftermath: float
) -> None:
    fleet = make_fleet(view=owned_by_the_first)
    owner = fleet.members[0]
    moved_to = fleet.add_replica("other-replica", owner.id, OTHER_HOST)
    with Writers(fleet.members, NAMES, tmp_path) as writers:
        writers.wait_for_all(NAMES, 0.0, START_SECONDS)
        at_work = [open_write.manifest(owner, name, TAIL * aftermath) for name in NAMES[:AT_WORK]]
        fleet.set_own(owner, {"registry": {"address": moved_to.address}})
        since = time.monotonic()
        fleet.restart(owner, owned_by_the_first(fleet))
        back = writers.wait_for_all(NAMES, time.monotonic(), aftermath + BACK_SECONDS)
        open_write.wait_done(at_work, aftermath)
    tell_takeover(row, fleet, owner, NAMES, since)
    row.saw(f"all were taken again {back - since:.2f} s after the death")
    conclude(row, fleet, [writers], at_work)


@pytest.mark.row(26, "`registry.address` is a name, which comes to mean another replica", REQUIRED)
def test_the_name_of_a_replica_moves(make_fleet: MakeFleet, row: Row, tmp_path: Path, aftermath: float) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(f"127.0.0.11 {REPLICA_NAME}\n")
    if not can_have_own_hosts(hosts):
        pytest.skip("a process cannot have an /etc/hosts of its own here")
    fleet = make_fleet(
        view=owned_by_the_first,
        launchers={"member-1": (*OWN_HOSTS, str(hosts))},
        names={"member-1": REPLICA_NAME},
    )
    owner = fleet.members[0]
    fleet.add_replica("other-replica", owner.id, OTHER_HOST)
    with Writers(fleet.members, NAMES, tmp_path) as writers:
        writers.wait_for_all(NAMES, 0.0, START_SECONDS)
        at_work = [open_write.manifest(owner, name, TAIL * aftermath) for name in NAMES[:AT_WORK]]
        # Whose client is gone is known by nobody but the member.
        at_work[0].leave()
        since = time.monotonic()
        # In place: another file would not be seen. Nobody is at the first of the two addresses.
        hosts.write_text(f"{NOBODYS_HOST} {REPLICA_NAME}\n{OTHER_HOST} {REPLICA_NAME}\n")
        fleet.wait_written_by("other-replica", NAMES[AT_WORK:], aftermath + BACK_SECONDS)
        # The first clients wait behind the long writes, at the replica that was meant.
        with Writers(fleet.members, NAMES[:AT_WORK], tmp_path) as late_writers:
            back = late_writers.wait_for_all(NAMES[:AT_WORK], since, aftermath + BACK_SECONDS)
            open_write.wait_done(at_work, aftermath)
    tell_takeover(row, fleet, owner, NAMES, since)
    row.saw(f"all were taken again {back - since:.2f} s after")
    conclude(row, fleet, [writers, late_writers], at_work)


@pytest.mark.row(
    27,
    "a repository moves during a read at which its old owner's replica writes (`registry.reads_write`)",
    REQUIRED,
)
def test_a_read_that_writes(make_fleet: MakeFleet, row: Row, tmp_path: Path, aftermath: float) -> None:
    fleet = make_fleet(READS_WRITE, view=owned_by_the_first)
    owner, heir, other = fleet.members
    new = fleet.view_of(3, pins={"moved": heir.id})
    # Nobody pushes at first: pushes are waited for anyhow.
    reads = [open_write.fetching_read(owner, name, TAIL * aftermath) for name in NAMES[:AT_WORK]]
    reads[0].leave()
    since = time.monotonic()
    for member in (owner, heir, other):
        fleet.reload(member, new)
    with Writers(fleet.members, NAMES, tmp_path) as writers:
        back = writers.wait_for_all(NAMES, since, aftermath + BACK_SECONDS)
        open_write.wait_done(reads, aftermath)
    tell_takeover(row, fleet, owner, NAMES[:AT_WORK], since)
    row.saw(f"all were taken {back - since:.2f} s after")
    conclude(row, fleet, [writers])


@pytest.mark.row(
    28, "such a read, while the owner's sidecar is away", "it waits, or is refused; no other replica writes"
)
def test_a_read_that_writes_goes_to_nobody_else(
    make_fleet: MakeFleet, row: Row, tmp_path: Path, aftermath: float
) -> None:
    fleet = make_fleet(READS_WRITE, view=owned_by_the_first)
    owner, *others = fleet.members
    tag = "sync-50ms-away"
    owner.sidecar.process.kill()
    with ThreadPoolExecutor(READERS) as pool:
        reads = [
            pool.submit(once, member, method, f"/v2/{name}/manifests/{tag}")
            for member in others
            for method in ("GET", "HEAD")
            for name in NAMES
        ]
        time.sleep(AWAY_SECONDS)
        fleet.start(owner, owned_by_the_first(fleet))
        seen = [read.result() for read in reads]
    statuses = Counter(one.status for one in seen)
    row.saw(", ".join(f"{count} × {status}" for status, count in statuses.most_common()))
    assert set(statuses) <= {200, 503}, [str(one) for one in seen]
    with Writers(fleet.members, NAMES, tmp_path) as writers:
        writers.wait_for_all(NAMES, time.monotonic(), aftermath + BACK_SECONDS)
    conclude(row, fleet, [writers])
