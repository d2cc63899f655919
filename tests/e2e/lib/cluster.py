"""Three replicas over one store, a sidecar beside each, mTLS between the sidecars."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import replica as replicas
from . import sidecar as sidecars
from .certs import Authority, Pair
from .process import Ports, wait_until
from .replica import Replica
from .sidecar import Settings, Sidecar
from .store import Store

@dataclass(frozen=True)
class Site:
    """The machine of one member: its address, and what processes are started through to be on it."""

    host: str
    prefix: tuple[str, ...] = ()


# Linux answers on the whole of 127.0.0.0/8: each member gets an address of its own, as machines have.
LOOPBACK = tuple(Site(f"127.0.0.{number}") for number in (11, 12, 13))
# One that several members' sidecars can be asked for by one name.
PUBLIC_NAME = "registry.test"
OWNED_NAMES_TRIED = 64
SETTLE_SECONDS = 30.0


@dataclass(frozen=True)
class Shape:
    """What distinguishes one cluster of the suite from another."""

    kind: type[Replica]
    store: Store
    # False: the registry answers with absolute Locations, made from what the sidecar tells it of the client.
    relative_urls: bool = True
    client_tls: bool = False
    sites: tuple[Site, ...] = LOOPBACK
    # Over what every proxy.yaml has.
    settings: Settings = field(default_factory=dict)
    # What the sidecars find in their environment.
    env: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Member:
    id: str
    sidecar: Sidecar
    replica: Replica


class Cluster:
    """A running cluster. `stop` ends its processes."""

    def __init__(self, shape: Shape, authority: Authority, ports: Ports, directory: Path) -> None:
        self.shape = shape
        self.authority = authority
        self._names = itertools.count()
        directory.mkdir(parents=True)
        # A site on another machine has all its ports to itself.
        ours = [site.host for site in shape.sites if not site.prefix]
        self._ports = ports
        self._taken = replica_port, clients, peers, admin = [ports.take(*ours) for _ in range(4)]
        places = [
            sidecars.Place(f"member-{number}", site.host, clients, peers, admin, site.prefix)
            for number, site in enumerate(shape.sites, start=1)
        ]
        hosts = [site.host for site in shape.sites]
        client_pair = authority.issue("clients", PUBLIC_NAME, *hosts) if shape.client_tls else None
        self.members: list[Member] = []
        try:
            self._start(places, replica_port, client_pair, directory)
        except BaseException:
            self.stop()
            raise

    @property
    def bases(self) -> list[str]:
        return [member.sidecar.base for member in self.members]

    @property
    def ca(self) -> Path | None:
        """What a client of this cluster has to trust; None where clients speak plain HTTP."""
        return self.authority.ca if self.shape.client_tls else None

    def stop(self) -> None:
        for member in self.members:
            member.sidecar.process.stop()
            member.replica.process.stop()
        while self._taken:
            self._ports.free(self._taken.pop())

    def wait_settled(self) -> None:
        """Until every member has seen every other up, and takes writes: one that starts first may have met closed
        ports."""
        for member in self.members:
            member.sidecar.wait_ready()
        wait_until("all members to see each other up", self._is_settled, SETTLE_SECONDS)

    def _is_settled(self) -> bool:
        return all(member.sidecar.metric("shardlet_writes_ready") == 1 for member in self.members) and all(
            one.sidecar.metric(f'shardlet_peer_up{{member="{other.id}"}}') == 1
            for one in self.members
            for other in self.others(one)
        )

    def repository(self, label: str) -> str:
        """A name that no other test uses."""
        return f"e2e/{label}-{next(self._names)}"

    def repository_of(self, owner: Member, label: str) -> str:
        """Such a name, owned by `owner`."""
        stem = self.repository(label)
        names = [f"{stem}/{number}" for number in range(OWNED_NAMES_TRIED)]
        owners = self.members[0].sidecar.owners(names)
        return next(name for name in names if owners[name] == owner.id)

    def owner(self, repository: str) -> Member:
        """As `shardlet owner` names it."""
        owner = self.members[0].sidecar.owners([repository])[repository]
        return next(member for member in self.members if member.id == owner)

    def others(self, than: Member) -> list[Member]:
        return [member for member in self.members if member is not than]

    def touched(self, repository: str) -> list[Member]:
        """The members whose replicas were asked for the repository, by the replicas' own logs."""
        return [member for member in self.members if repository in member.replica.repositories()]

    def _start(
        self, places: Sequence[sidecars.Place], replica_port: int, client_pair: Pair | None, directory: Path
    ) -> None:
        shape, authority = self.shape, self.authority
        for place in places:
            at = replicas.Place(place.host, replica_port, directory, place.prefix)
            name = f"{place.id}-replica"
            replica = shape.kind(name, at, shape.store, relative_urls=shape.relative_urls)
            replica.wait_ready()  # one after the other: zot makes its tables at the first start
            trust = sidecars.Trust(authority.ca, authority.issue(place.id, place.id, place.host), client_pair)
            sidecar = Sidecar(place, replica.address, places, trust, directory, shape.settings, shape.env)
            self.members.append(Member(place.id, sidecar, replica))
        for member in self.members:
            member.sidecar.wait_ready()
