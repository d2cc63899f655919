"""Many members on one machine: a real sidecar each, and one process that stands in for all their replicas."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import memory
from .certs import Authority
from .process import Ports, wait_until
from .sidecar import Place, Settings, Sidecar, Trust, merged
from .stand_in import StandIn

SETTLE_SECONDS = 120.0
# All of them share one machine, which is late with some answers.
SETTINGS: Settings = {
    "probes": {"timeout": "3s"},
    "timeouts": {"aftermath": "5s", "drain": "5s"},
    "log": {"requests": False},
    # A member takes another list when it is told to.
    "reload": {"watch": False},
}
_PEER = re.compile(r'^(shardlet_peer_(?:up|view_same))\{member="([^"]+)"\} 1$', re.MULTILINE)
_READY = re.compile(r"^shardlet_writes_ready 1$", re.MULTILINE)
_BYTES = re.compile(r"\bbytes_(?:sent|received):(\d+)")


class Many:
    """Places for `most` members, of which `start` starts some. `stop` ends all processes."""

    def __init__(self, most: int, authority: Authority, ports: Ports, directory: Path, settings: Settings) -> None:
        directory.mkdir()
        self._authority, self._ports, self._directory = authority, ports, directory
        self._settings = merged(SETTINGS, settings)
        hosts = addresses(most)
        self._taken = [replicas, *listeners] = [ports.take(*hosts) for _ in range(4)]
        self.places = places(hosts, *listeners)
        self.peer_port = self.places[0].peers
        self.members: list[Sidecar] = []
        self._stand_in = StandIn(hosts, replicas, directory)

    def start(self, places: Sequence[Place], listed: Sequence[Place]) -> list[Sidecar]:
        """Sidecars at these places, who know those; does not wait for them."""
        started = [self._start(place, listed) for place in places]
        self.members += started
        return started

    def give(self, members: Sequence[Sidecar], listed: Sequence[Settings], settings: Settings | None = None) -> None:
        """One right after the other, as docs/resize.md has it."""
        for member in members:
            member.configure(merged({"cluster": {"members": list(listed)}}, settings or {}))
        for member in members:
            reloaded = member.reload()
            assert reloaded.taken, reloaded.text

    def leave(self, member: Sidecar) -> None:
        """Has it end what it is doing, and go."""
        member.process.stop()
        self.members.remove(member)

    def see_all(self, members: Sequence[Sidecar]) -> None:
        """Until each of them sees all others up."""
        for member in members:
            others = {other.place.id for other in members if other is not member}
            wait_until(f"{member.place.id} to see all", lambda: seen_up(member) >= others, SETTLE_SECONDS)  # noqa: B023

    def settle(self, members: Sequence[Sidecar]) -> None:
        """Until each of them sees all others up and with its own view, and takes writes."""
        for member in members:
            others = {other.place.id for other in members if other is not member}
            wait_until(f"{member.place.id} to agree with all", lambda: _agrees(member, others), SETTLE_SECONDS)  # noqa: B023

    def stop(self) -> None:
        for member in self.members:
            member.process.kill()
        self._stand_in.stop()
        while self._taken:
            self._ports.free(self._taken.pop())

    def _start(self, place: Place, listed: Sequence[Place]) -> Sidecar:
        pair = self._authority.issue(place.id, place.id, place.host)
        trust = Trust(self._authority.ca, pair, None)
        replica = f"{place.host}:{self._stand_in.port}"
        return Sidecar(place, replica, listed, trust, self._directory, self._settings)


def addresses(count: int) -> list[str]:
    """Of loopback, a member each."""
    return [f"127.0.{1 + number // 200}.{1 + number % 200}" for number in range(count)]


def places(hosts: Sequence[str], clients: int, peers: int, admin: int) -> list[Place]:
    return [Place(f"member-{number}", host, clients, peers, admin) for number, host in enumerate(hosts, start=1)]


def entry(place: Place) -> Settings:
    """A member as a list has it."""
    return {"id": place.id, "address": place.peer_address}


def seen_up(member: Sidecar) -> set[str]:
    """The peers that it sees up."""
    return {peer for what, peer in _PEER.findall(member.metrics()) if what == "shardlet_peer_up"}


def _agrees(member: Sidecar, others: set[str]) -> bool:
    if member.process.exit_code is not None:
        raise AssertionError(f"{member.place.id} has ended:\n{member.process.tail()}")
    if not member.is_ready():
        return False
    said = member.metrics()
    found = _PEER.findall(said)
    return bool(_READY.search(said)) and all(
        {peer for what, peer in found if what == kind} >= others
        for kind in ("shardlet_peer_up", "shardlet_peer_view_same")
    )


@dataclass
class Rest:
    """What members did while nothing was asked of them, each."""

    cpu_percent: float = 0.0
    bytes_per_second: float = 0.0
    connections: float = 0.0
    resident: float = 0.0
    own: float = 0.0


@contextmanager
def resting(members: Sequence[Sidecar], peer_port: int, ends: int = 2) -> Iterator[Rest]:
    """Measures over the block. `ends`: how many of a connection's two ends are these members'."""
    rest, count = Rest(), len(members)
    began, worked, sent = time.monotonic(), _worked(members), sum(_carried(peer_port))
    yield rest
    carried = _carried(peer_port)
    seconds = time.monotonic() - began
    rest.cpu_percent = 100 * (_worked(members) - worked) / seconds / count
    # Each connection is looked at once, where it was accepted.
    rest.bytes_per_second = ends * (sum(carried) - sent) / seconds / count
    rest.connections = ends * len(carried) / count
    pids = [member.process.pid for member in members]
    rest.resident = sum(map(memory.resident, pids)) / count
    rest.own = sum(map(memory.own, pids)) / count


def _worked(members: Sequence[Sidecar]) -> float:
    """CPU seconds of all of their threads."""
    tasks = [task for member in members for task in Path(f"/proc/{member.process.pid}/task").iterdir()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def connections(port: int) -> int:
    """That somebody has accepted at this port."""
    return len(_carried(port))


def _carried(port: int) -> list[int]:
    """By connection that somebody has accepted at this port: bytes in both directions."""
    command = ["ss", "-tinHO", "state", "established", f"( sport = :{port} )"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [sum(map(int, _BYTES.findall(line))) for line in said.splitlines()]
