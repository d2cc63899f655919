"""Three replicas over one store, a sidecar beside each, mTLS between the sidecars."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import replica as replicas
from . import sidecar as sidecars
from .certs import Authority, Pair
from .process import Ports
from .replica import Replica
from .sidecar import Sidecar
from .store import Store

# Linux answers on the whole of 127.0.0.0/8: each member gets an address of its own, as machines have.
HOSTS = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
# One that several members' sidecars can be asked for by one name.
PUBLIC_NAME = "registry.test"
OWNED_NAMES_TRIED = 64


@dataclass(frozen=True)
class Shape:
    """What distinguishes one cluster of the suite from another."""

    kind: type[Replica]
    store: Store
    # False: the registry answers with absolute Locations, made from what the sidecar tells it of the client.
    relative_urls: bool = True
    client_tls: bool = False


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
        replica_port = ports.take(*HOSTS)
        clients, peers, admin = (ports.take(*HOSTS) for _ in range(3))
        places = [
            sidecars.Place(f"member-{number}", host, clients, peers, admin)
            for number, host in enumerate(HOSTS, start=1)
        ]
        client_pair = authority.issue("clients", PUBLIC_NAME, *HOSTS) if shape.client_tls else None
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
            at = replicas.Place(place.host, replica_port, directory)
            name = f"{place.id}-replica"
            replica = shape.kind(name, at, shape.store, relative_urls=shape.relative_urls)
            replica.wait_ready()  # one after the other: zot makes its tables at the first start
            trust = sidecars.Trust(authority.ca, authority.issue(place.id, place.id, place.host), client_pair)
            self.members.append(Member(place.id, Sidecar(place, replica.address, places, trust, directory), replica))
        for member in self.members:
            member.sidecar.wait_ready()
