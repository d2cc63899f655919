"""Members by leases, as compose/leased.yaml starts them: what one of them owned is written by others when it dies or leaves."""

from __future__ import annotations

import time
from pathlib import Path

from harness.fleet import HAPROXY_PORT, MEMBERS, PORTS, Fleet
from lib import image
from lib.process import wait_until

LAYER_BYTES = (200_000, 300_000)
LEAVES_SECONDS = 60.0
JOINS_SECONDS = 60.0


def wait_members(leased: Fleet, *members: str) -> None:
    """Until exactly these own something."""
    names = [f"sample/{number}" for number in range(32)]
    wait_until(f"{members} to be the owners", lambda: set(leased.owners(names).values()) == set(members), JOINS_SECONDS)


def test_a_member_dies_and_comes_back_and_one_leaves(leased: Fleet, tmp_path: Path, figures: list[str]) -> None:
    layout = image.build(tmp_path / "image", 9, LAYER_BYTES)
    wait_members(leased, *MEMBERS)
    owned = leased.owned("leased")
    for owner, repository in owned.items():
        for entry, port in PORTS.items():
            reference = f"127.0.0.1:{port}/{repository}:by-{entry}"
            leased.push(layout, reference)
            leased.pull(reference, tmp_path / f"{owner}-{entry}").assert_same(layout)
    dead, left = MEMBERS[1:]
    leased.kill(2)
    killed = time.monotonic()
    leased.push(layout, f"127.0.0.1:{HAPROXY_PORT}/{owned[dead]}:taken-over")
    figures.append(f"a push to what a dead member with a lease owned: done after {time.monotonic() - killed:.1f} s")
    wait_members(leased, MEMBERS[0], left)
    leased.start(2)
    wait_members(leased, *MEMBERS)
    leased.push(layout, f"127.0.0.1:{HAPROXY_PORT}/{owned[dead]}:back")
    leased.engine.docker("exec", leased.container(left), "/usr/local/bin/shardlet", "leave")
    leased.push(layout, f"127.0.0.1:{HAPROXY_PORT}/{owned[left]}:handed-over")
    wait_members(leased, MEMBERS[0], dead)
    has_ended = lambda: leased.inspect(left)["State"]["Status"] == "exited"  # noqa: E731
    wait_until(f"{left} to end", has_ended, LEAVES_SECONDS)
    assert leased.inspect(left)["State"]["ExitCode"] == 0
    leased.start(3)
    wait_members(leased, *MEMBERS)
    leased.push(layout, f"127.0.0.1:{HAPROXY_PORT}/{owned[left]}:joined")
