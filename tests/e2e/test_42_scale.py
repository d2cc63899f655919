"""Many real sidecars on one machine: they start, agree, come and go while clients push, and lose three. And one real
sidecar in a crowd that one process plays, as it is in a fleet that no machine can run.

SHARDLET_SCALE_MEMBERS and SHARDLET_SCALE_CROWD say how many (docs/scale.md); SHARDLET_SCALE_FIGURES names a file that
the figures are added to.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import pytest
from lib.certs import Authority
from lib.client import Registry, manifest_of
from lib.crowd import Crowd, pause_seconds
from lib.deployed import REPOSITORY
from lib.many import SETTINGS, Many, addresses, connections, entry, places, resting, seen_up
from lib.memory import MIB
from lib.process import Ports, run, wait_until
from lib.pushes import Pushes
from lib.sidecar import Settings, Sidecar, Trust
from lib.stand_in import StandIn

MEMBERS = int(os.environ.get("SHARDLET_SCALE_MEMBERS") or 30)
CROWD = int(os.environ.get("SHARDLET_SCALE_CROWD") or 200)
FIGURES = os.environ.get("SHARDLET_SCALE_FIGURES")
KILLED = 3
# A push may wait for a member that is taken away, on a machine that is late with everything; what has no owner for as
# long as the test likes is refused sooner.
HOLD_SECONDS, SHORT_HOLD_SECONDS = 30.0, 5.0
REST_SECONDS = 6.0
NOTICE_SECONDS = 60.0
CROWD_SECONDS = 120.0
# What a member may take alone, and for each other member: two connections with TLS, and what is known of it.
ALONE_BYTES, MEMBER_BYTES = 16 * MIB, 256 * 1024
NAMES = [f"scale/{number}" for number in range(64 * MEMBERS)]
# What a question and its answer take, as connections carry them.
QUESTION_BYTES = range(550, 1_100)
_MANIFEST = manifest_of(b"{}", [b"layer"])


@pytest.fixture(scope="module")
def took() -> dict[str, float]:
    """Figures of the real fleet, by name."""
    return {"members": MEMBERS}


@pytest.fixture(scope="module")
def fleet(authority: Authority, ports: Ports, run_dir: Path, took: dict[str, float]) -> Iterator[Many]:
    """Started and settled, one place left free."""
    fleet = Many(MEMBERS + 1, authority, ports, run_dir / "many", {"writes": {"hold": f"{HOLD_SECONDS:.0f}s"}})
    try:
        took["agree_seconds"] = timed(lambda: started(fleet, took))
        yield fleet
    finally:
        fleet.stop()


def started(fleet: Many, took: dict[str, float]) -> None:
    listed = fleet.places[:MEMBERS]

    def ready() -> None:
        for member in fleet.start(listed, listed):
            member.wait_ready()

    took["ready_seconds"] = timed(ready)
    took["see_seconds"] = took["ready_seconds"] + timed(lambda: fleet.see_all(fleet.members))
    fleet.settle(fleet.members)


def test_members_at_rest_do_next_to_nothing(fleet: Many, took: dict[str, float], figures: list[str]) -> None:
    with resting(fleet.members, fleet.peer_port) as rest:
        # What is measured is a time in which nothing is to happen.
        time.sleep(REST_SECONDS)
    took |= asdict(rest)
    figures.append(
        f"{MEMBERS} members on one machine: ready after {took['ready_seconds']:.1f} s, all seen after "
        f"{took['see_seconds']:.1f} s, writing after {took['agree_seconds']:.1f} s; at rest each takes {rest.cpu_percent:.2f} % of a core, "
        f"{rest.resident / MIB:.1f} MiB ({rest.own / MIB:.1f} of its own), {rest.connections:.0f} connections, "
        f"{rest.bytes_per_second / 1024:.1f} KiB/s"
    )
    assert 2 * (MEMBERS - 1) <= rest.connections <= 3 * (MEMBERS - 1), rest
    # It asks, and it is asked.
    assert rest.bytes_per_second / (2 * (MEMBERS - 1)) in Between(QUESTION_BYTES), rest
    assert rest.cpu_percent < 10.0, rest


def test_members_come_and_go_and_no_push_fails(fleet: Many, took: dict[str, float], figures: list[str]) -> None:
    members = list(fleet.members)
    one, two, three, last = *members[:3], members[-1]
    listed = [entry(member.place) for member in members]
    larger, smaller = [*listed, entry(fleet.places[MEMBERS])], listed[:-1]
    moves, leaves, stays = names_that(one, listed, larger, smaller, last)

    def add() -> None:
        fleet.give(members, larger)
        new = fleet.start([fleet.places[MEMBERS]], fleet.places)
        fleet.settle([*members, *new])

    def take_away_light() -> None:
        new = fleet.members[-1]
        everybody = [*members, new]
        fleet.give(everybody, [*({**member, "weight": 1000} for member in listed), larger[-1]])
        fleet.settle(everybody)
        with pushes.during():
            pass
        fleet.leave(new)
        fleet.give(members, listed)
        fleet.settle(members)

    def take_away() -> None:
        fleet.leave(last)
        fleet.give(members[:-1], smaller)
        fleet.settle(members[:-1])

    steps: dict[str, Callable[[], None]] = {"add": add, "take_away_light": take_away_light, "take_away": take_away}
    with Pushes([one.base, two.base, three.base], [moves, leaves, stays]) as pushes:
        for name, step in steps.items():
            with pushes.during() as seen:
                took[f"{name}_seconds"] = timed(step)
            took[f"{name}_longest"] = max(push.seconds for push in seen)
            took[f"{name}_elsewhere"] = max(push.seconds for push in seen if push.repository == stays)
            figures.append(
                f"{MEMBERS} members, {name}: {took[f'{name}_seconds']:.1f} s, longest push "
                f"{took[f'{name}_longest']:.1f} s, elsewhere {took[f'{name}_elsewhere']:.1f} s"
            )
    lost = pushes.lost(one.base)
    took |= {"pushes": len(pushes.done), "failed": len(pushes.failed()), "lost": len(lost)}
    figures.append(f"{len(pushes.done)} pushes meanwhile, {len(pushes.failed())} failed, {len(lost)} lost")
    assert pushes.failed() == [] and lost == []
    assert took["add_elsewhere"] < HOLD_SECONDS / 2, took


def test_three_that_are_killed_cost_what_they_own_and_no_more(
    fleet: Many, took: dict[str, float], figures: list[str]
) -> None:
    killed, others = fleet.members[-KILLED:], fleet.members[:-KILLED]
    dead, alive = {member.place.id for member in killed}, {member.place.id for member in others}
    owners = others[0].owners(NAMES)
    theirs = [next(name for name in NAMES if owners[name] == member.place.id) for member in killed]
    not_theirs = [next(name for name in NAMES if owners[name] == member) for member in sorted(alive)]
    for name in theirs:
        assert pushed(others[:1], name)[0] == 201
    listed = [entry(member.place) for member in fleet.members]
    fleet.give(fleet.members, listed, {"writes": {"hold": f"{SHORT_HOLD_SECONDS:.0f}s"}})
    for member in killed:
        member.process.kill()

    def noticed() -> None:
        for member in others:
            wait_until(f"{member.place.id} to see who is dead", lambda: not seen_up(member) & dead, NOTICE_SECONDS)  # noqa: B023

    took["notice_seconds"] = timed(noticed)
    figures.append(f"{KILLED} of {len(fleet.members)} killed: the others know after {took['notice_seconds']:.1f} s")
    assert all(alive - {member.place.id} <= seen_up(member) for member in others)
    with Registry([member.base for member in others]) as registry:
        assert [registry.manifest(name, "tag").status_code for name in theirs] == [200] * KILLED
    with ThreadPoolExecutor() as pool:
        refused = [pool.submit(pushed, others, name) for name in theirs]
        # Nobody else waits for them.
        assert [pushed(others, name)[0] for name in not_theirs] == [201] * len(alive)
        answers = [answer.result() for answer in refused]
    assert [status for status, _, _ in answers] == [503] * KILLED, answers
    assert all(after and seconds >= SHORT_HOLD_SECONDS - 1 for _, after, seconds in answers), answers

    for member in killed:
        member.start_again()
    took["back_seconds"] = timed(lambda: fleet.settle(fleet.members))
    assert [pushed(others, name)[0] for name in theirs] == [201] * KILLED
    keep("fleets", took)


def test_a_member_of_a_large_fleet_stays_small(
    authority: Authority, ports: Ports, tmp_path: Path, figures: list[str]
) -> None:
    allow_many_files()
    hosts = addresses(CROWD)
    replica_port, *listeners = [ports.take(hosts[0]) for _ in range(4)]
    real, *others = everybody = places(hosts, *listeners)
    took: dict[str, float] = {"members": CROWD}
    pair = authority.issue(real.id, real.id, real.host)
    with ExitStack() as ending:
        stand_in = StandIn([real.host], replica_port, tmp_path)
        ending.callback(stand_in.stop)
        ending.callback(Crowd(others, real, authority, tmp_path).stop)
        trust = Trust(authority.ca, pair, None)
        member = Sidecar(real, f"{real.host}:{replica_port}", everybody, trust, tmp_path, SETTINGS)
        ending.callback(member.process.stop)

        def sees_all() -> bool:
            return member.is_ready() and len(seen_up(member)) == len(others)

        took["see_seconds"] = timed(lambda: wait_until("all to be seen up", sees_all, CROWD_SECONDS))
        wait_until("writes", lambda: member.metric("shardlet_writes_ready") == 1, CROWD_SECONDS)
        wait_until("all to ask", lambda: connections(real.peers) >= 2 * len(others), CROWD_SECONDS)
        with resting([member], real.peers, ends=1) as rest:
            time.sleep(max(REST_SECONDS, pause_seconds(CROWD)))
        assert len(seen_up(member)) == len(others)
        name = next(name for name, owner in member.owners(NAMES).items() if owner == real.id)
        assert pushed([member], name)[0] == 201
    took |= asdict(rest)
    figures.append(
        f"one of {CROWD} members: all seen after {took['see_seconds']:.1f} s; at rest {rest.cpu_percent:.2f} % of a core, "
        f"{rest.resident / MIB:.1f} MiB ({rest.own / MIB:.1f} of its own), {rest.connections:.0f} connections, "
        f"{rest.bytes_per_second / 1024:.1f} KiB/s"
    )
    assert rest.connections <= 2.2 * len(others), rest
    assert rest.bytes_per_second * pause_seconds(CROWD) / (2 * len(others)) in Between(QUESTION_BYTES), rest
    assert rest.own < len(others) * MEMBER_BYTES + ALONE_BYTES, rest
    assert rest.cpu_percent < 20.0, rest
    keep("crowds", took)


def test_the_document_has_the_figures_that_are_kept(tmp_path: Path) -> None:
    docs = REPOSITORY / "docs"
    shutil.copy(docs / "scale.md", tmp_path)
    shutil.copytree(docs / "scale", tmp_path / "scale")
    run([sys.executable, "-B", REPOSITORY / "benches" / "scale", "--docs", tmp_path])
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > len(["scale.md", "figures.json"])
    for path in written:
        kept = docs / path.relative_to(tmp_path)
        assert kept.read_text() == path.read_text(), f"{kept}: bash benches/scale.sh --write"


class Between:
    """A range of whole numbers, for numbers that are not."""

    def __init__(self, limits: range) -> None:
        self._limits = limits

    def __contains__(self, value: float) -> bool:
        return self._limits.start <= value < self._limits.stop


def keep(kind: str, took: dict[str, float]) -> None:
    """For the document, if a file is named."""
    if FIGURES:
        with Path(FIGURES).open("a") as file:
            file.write(json.dumps({"kind": kind, **took}) + "\n")


def allow_many_files() -> None:
    """Of this process and its children: each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def timed(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def pushed(through: Sequence[Sidecar], repository: str) -> tuple[int, str | None, float]:
    """Status, Retry-After and seconds of one push, through one of these members."""
    began = time.monotonic()
    with Registry([member.base for member in through], reconnect=True) as registry:
        answer = registry.put_manifest(repository, "tag", _MANIFEST)
    return answer.status_code, answer.headers.get("retry-after"), time.monotonic() - began


def names_that(
    member: Sidecar, listed: list[Settings], larger: list[Settings], smaller: list[Settings], last: Sidecar
) -> tuple[str, str, str]:
    """A repository that goes to the new member, one of the last member's, and one that neither touches."""
    owners = []
    for members in (larger, smaller, listed):
        member.configure({"cluster": {"members": members}})
        owners.append(member.owners(NAMES))
    more, fewer, now = owners
    moves = next(name for name in NAMES if more[name] == larger[-1]["id"])
    leaves = next(name for name in NAMES if more[name] == now[name] == last.place.id)
    stays = next(name for name in NAMES if more[name] == now[name] == fewer[name] == member.place.id)
    return moves, leaves, stays
