"""Members that hold leases in one store: none has a list, each may come, go, die, be stopped, or be parted from the store.

What the views were, who was in them, and whose lease was taken is read from the store, which keeps every put.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from lib import sidecar as sidecars
from lib.certs import Authority
from lib.cluster import Member, Site
from lib.lease_store import Leases, LeaseStore, Put
from lib.process import Ports, Process, run, wait_until
from lib.replica import Place as ReplicaPlace
from lib.replica import Replica
from lib.sidecar import Settings, Sidecar, binary, merged
from lib.store import Directory, Store

from .shared_index import SharedIndex
from .warden import Warden

LOOPBACK = tuple(Site(f"127.0.0.{number}") for number in range(11, 21))
OTHER_HOST = "127.0.0.21"
DRAIN_SECONDS = 10.0
LEAVES_MOST = 60.0
EXIT_SECONDS = 60.0
# What a takeover may take beside the lease and the grace: to see it, to fence, to put the view, to acknowledge it.
SLACK_SECONDS = 5.0
# With a command that kills the replica, it is dead within that.
KILLED_GRACE = 5.0
SETTINGS: Settings = {
    "probes": {"interval": "200ms", "timeout": "500ms"},
    "timeouts": {"drain": f"{DRAIN_SECONDS:.0f}s", "idle": "5m"},
    "writes": {"hold": "25s"},
    "log": {"requests": False},
    "reload": {"watch": False},
}


@dataclass(frozen=True)
class Level:
    """What is known of the replica of a member that is over: L0 rests on time, L1 on a command that kills it."""

    name: str
    lease: float
    handoff: float
    aftermath: float

    @property
    def kills(self) -> bool:
        return self.name == "L1"

    @property
    def grace(self) -> float:
        return KILLED_GRACE if self.kills else self.aftermath

    @property
    def guard(self) -> float:
        return self.lease / 10

    @property
    def renew(self) -> float:
        return self.lease / 4

    @property
    def takeover(self) -> float:
        """From a death until everything is written again."""
        return self.lease + self.grace + SLACK_SECONDS


class LeasedFleet:
    """Starts the first `count` members, and waits until their view is settled. `stop` ends all."""

    def __init__(
        self,
        authority: Authority,
        ports: Ports,
        directory: Path,
        *,
        level: Level,
        count: int = 3,
        sites: Sequence[Site] = LOOPBACK,
        store_host: str = "127.0.0.1",
        settings: Settings | None = None,
        kind: type[Replica] = SharedIndex,
        store: Store | None = None,
        leases: Leases | None = None,
    ) -> None:
        """`store`: what the replicas share. `leases`: where the leases are, in a stand-in for S3 unless told otherwise."""
        self.authority, self.directory, self.level = authority, directory, level
        self.store = store or Directory(directory / "indexes")
        self._kind = kind
        self.members: list[Member] = []
        self.replicas: list[Replica] = []
        self.ids_of: dict[str, set[str]] = {}
        self._numbers = itertools.count()
        self._leavers: list[tuple[Member, Process]] = []
        self._owned: dict[tuple[tuple[str, ...], str], str] = {}
        self._settings = merged(SETTINGS, settings or {})
        ours = [site.host for site in sites if not site.prefix]
        self._taken = self.replica_port, clients, peers, admin = [ports.take(*ours) for _ in range(4)]
        self._ports = ports
        self.places = [
            sidecars.Place(f"member-{number}", site.host, clients, peers, admin, site.prefix)
            for number, site in enumerate(sites, start=1)
        ]
        self.leases = leases or LeaseStore([place.id for place in self.places], ports, directory, store_host)
        self.warden = Warden(directory, ends_with_sidecar=level.kills)
        try:
            for _ in range(count):
                self.add()
            for member in self.members:
                self.wait_ready(member)
            if count:
                self.wait_members(count)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self.warden.stop()
        for process in [*(member.sidecar.process for member in self.members), *(one.process for one in self.replicas)]:
            process.kill()
        self.leases.stop()
        while self._taken:
            self._ports.free(self._taken.pop())

    def add(self) -> Member:
        """Starts the next member and its replica; does not wait until it is ready."""
        place = self.places[len(self.members)]
        at = ReplicaPlace(place.host, self.replica_port, self.directory, place.prefix)
        replica = self._kind(f"{place.id}-replica", at, self.store, relative_urls=True)
        self.replicas.append(replica)
        self.ids_of[replica.name] = {place.id}
        self.warden.note_start(replica)
        replica.wait_ready()
        trust = sidecars.Trust(self.authority.ca, self.authority.issue(place.id, place.id, place.host), None)
        settings = merged(self._settings, self._coordination(place, replica))
        launched = dataclasses.replace(place, prefix=place.prefix + self.leases.launcher)
        sidecar = Sidecar(launched, replica.address, [], trust, self.directory, settings, self.leases.environment)
        member = Member(place.id, sidecar, replica)
        self.members.append(member)
        self.warden.watch(member)
        return member

    def start(self, member: Member) -> None:
        """After its process has ended; does not wait until it is ready."""
        self.warden.wait_dealt_with(member)
        # One that has ended by itself is known as running until somebody waits for it.
        member.sidecar.process.kill()
        member.sidecar.start_again()

    def move_replica(self, member: Member) -> Replica:
        """Another one beside it, from its next start on; the old one goes on. Level L0 alone: nobody ends the old one."""
        place = self.places[self.members.index(member)]
        at = ReplicaPlace(OTHER_HOST, self.replica_port, self.directory, place.prefix)
        moved = self._kind(f"{member.id}-other-replica", at, self.store, relative_urls=True)
        moved.wait_ready()
        self.replicas.append(moved)
        self.ids_of[moved.name] = {member.id}
        member.sidecar.configure({"registry": {"address": moved.address}})
        return moved

    def kill(self, member: Member) -> float:
        """Returns when."""
        now = time.monotonic()
        member.sidecar.process.kill()
        return now

    def end(self, member: Member) -> None:
        """By SIGTERM: its lease is parked."""
        member.sidecar.process.signal(signal.SIGTERM)
        member.sidecar.process.wait(EXIT_SECONDS)

    def leave(self, member: Member) -> None:
        """It leaves the fleet for good, and ends."""
        run(self._leave_command(member), LEAVES_MOST)
        member.sidecar.process.wait(EXIT_SECONDS)

    def begin_leaving(self, member: Member) -> None:
        """The same; does not wait until it has left."""
        log = self.directory / f"leave-{next(self._numbers)}.log"
        self._leavers.append((member, Process(f"leave of {member.id}", self._leave_command(member), log)))

    def end_leavers(self) -> None:
        """Once they have left, or are dead."""
        leavers, self._leavers = self._leavers, []
        for member, leave in leavers:
            leave.wait(LEAVES_MOST)
            # Who could not be asked goes on.
            if member.sidecar.process.exit_code is None:
                self.end(member)

    def _leave_command(self, member: Member) -> list[str | Path]:
        admin = f"{member.sidecar.place.host}:{member.sidecar.place.admin}"
        return [binary(), "leave", "--wait", "--socket", member.sidecar.socket, "--admin", admin]

    def wait_ready(self, member: Member, limit: float = 0.0) -> float:
        """Until it takes writes. Returns when."""
        member.sidecar.process.wait_ready(member.sidecar.is_ready, limit or 2 * self.level.takeover)
        return time.monotonic()

    def wait_members(self, count: int, limit: float = 0.0) -> float:
        """Until the view in force has so many, and is settled. Returns when that was put."""

        def settled() -> float:
            now = [put for put in self.leases.puts() if put.key == "view"]
            is_so = now and len(now[-1].value["now"]["members"]) == count and not now[-1].value["chain"]
            return now[-1].at if is_so else 0.0

        return wait_until(f"a settled view of {count}", settled, limit or 3 * self.level.takeover)

    def running(self) -> list[Member]:
        return [member for member in self.members if member.sidecar.process.exit_code is None]

    def wait_unheard(self, member: Member) -> None:
        """Until no other member's probes are answered by it."""
        series = f'shardlet_peer_up{{member="{member.id}"}}'
        unheard = lambda: all(one.sidecar.metric(series) == 0 for one in self.others(member))  # noqa: E731
        wait_until(f"{member.id} to be down", unheard, self.level.takeover)

    def others(self, than: Member) -> list[Member]:
        return [member for member in self.members if member is not than]

    @property
    def views(self) -> list[tuple[str, ...]]:
        """The members of every view that there ever was."""
        seats = (put.value["now"]["members"] for put in self.leases.puts() if put.key == "view")
        return list(dict.fromkeys(tuple(seat["id"] for seat in of_one) for of_one in seats))

    def owners(self, view: Sequence[str], names: Iterable[str]) -> dict[str, str]:
        """Repository → member id, as `shardlet owner` names them from a file that lists these."""
        view, names = tuple(view), list(names)
        unknown = [name for name in names if (view, name) not in self._owned]
        if view and unknown:
            rows = json.loads(run([binary(), "owner", "--config", self._listing(view), "--format", "json", *unknown]))
            self._owned |= {(view, row["repository"]): row["owner"] for row in rows}
        return {name: self._owned[view, name] for name in names if view}

    def owned_by(self, member: Member, count: int, view: Sequence[str] = (), label: str = "owned") -> list[str]:
        """So many repositories that are this member's, by the view in force unless another is named."""
        names = [f"{label}/{next(self._numbers)}" for _ in range(40 * count)]
        owners = self.owners(view or self.leases.members(), names)
        found = [name for name in names if owners[name] == member.id][:count]
        assert len(found) == count, f"only {len(found)} of {count} repositories were found"
        return found

    @property
    def bases(self) -> list[str]:
        """Of those that run."""
        return [member.sidecar.base for member in self.running()]

    @property
    def ca(self) -> None:
        """Clients speak plain HTTP."""

    def repository(self, label: str) -> str:
        """A name that nothing else uses."""
        return f"{label}-{next(self._numbers)}"

    def repository_of(self, owner: Member, label: str) -> str:
        """Such a name, owned by `owner` in the view in force."""
        return self.owned_by(owner, 1, label=label)[0]

    def wait_quiet(self) -> None:
        """Until no replica is at a write."""
        for replica in self.replicas:
            replica.wait_quiet()

    def faults_in_store(self) -> list[str]:
        """What may never be seen in it, whatever happens: numbers that fall, a lease that comes back."""
        return falls(self.leases.puts())

    def _listing(self, view: Sequence[str]) -> Path:
        file = self.directory / f"listing-{next(self._numbers)}.yaml"
        given: dict[str, Any] = yaml.safe_load(self.members[0].sidecar.config.read_text())
        for key in ("coordination", "address"):
            given["cluster"].pop(key)
        at = {place.id: place.peer_address for place in self.places}
        given["cluster"]["members"] = [{"id": id, "address": at[id]} for id in view]
        file.write_text(yaml.safe_dump(given | {"member": view[0]}))
        return file

    def _coordination(self, place: sidecars.Place, replica: Replica) -> Settings:
        level = self.level
        written: dict[str, Any] = {
            "store": self.leases.settings(place.id),
            "lease": milliseconds(level.lease),
            "guard": milliseconds(level.guard),
            "handoff": milliseconds(level.handoff),
        }
        if level.kills:
            written["replica_kill"] = list(self.warden.kill_command(replica))
            written["replica_ends_with_sidecar"] = True
        return {
            "timeouts": {"aftermath": milliseconds(level.aftermath)},
            "cluster": {"address": place.peer_address, "coordination": written},
        }


def falls(puts: Iterable[Put]) -> list[str]:
    """Epochs, incarnations, versions and acknowledgements never fall, and no incarnation that is over comes back."""
    found: list[str] = []
    before: dict[str, Put] = {}
    for put in puts:
        last = before.get(put.key)
        before[put.key] = put
        if last is None:
            continue
        was, now = last.value, put.value
        if put.key == "view":
            if now["now"]["epoch"] < was["now"]["epoch"]:
                found.append(f"the view's epoch falls at {put.at:.3f}: {was['now']['epoch']} to {now['now']['epoch']}")
            continue
        for number in ("incarnation", "version", "acked"):
            # Each incarnation begins to acknowledge anew.
            if now[number] < was[number] and (number != "acked" or now["incarnation"] == was["incarnation"]):
                found.append(f"{put.key}: {number} falls at {put.at:.3f}: {was[number]} to {now[number]}")
        is_back = was["state"] in ("fenced", "released") and now["state"] in ("live", "parked")
        if is_back and now["incarnation"] <= was["incarnation"]:
            found.append(f"{put.key}: incarnation {now['incarnation']} was {was['state']}, and is back at {put.at:.3f}")
    return found


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.0f}ms"
