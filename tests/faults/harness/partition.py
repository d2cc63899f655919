"""Between two members nothing comes through, or everything is refused.

Where this machine allows network namespaces, packets are dropped or rejected between two members alone. Where not, the
second member's sidecar is killed and a stand-in takes its place: a listener whose backlog is full (the kernel drops
every further attempt to connect), or nothing (the kernel refuses).
"""

from __future__ import annotations

import contextlib
import socket
from abc import ABC, abstractmethod

from lib.cluster import Cluster, Member, Site
from lib.process import wait_until

from .network import Network

FILLERS = 4
FULL_SECONDS = 10.0


class Partition(ABC):
    """Between `one` and `other`. `others` are the members that nothing has happened to."""

    def __init__(self, cluster: Cluster, one: Member, other: Member) -> None:
        self.cluster, self.one, self.other = cluster, one, other

    # Said beside every figure.
    means: str

    @property
    @abstractmethod
    def spared(self) -> list[Member]:
        """Members through which every repository but those of `other` can still be had."""

    @abstractmethod
    def drop(self) -> None: ...

    @abstractmethod
    def refuse(self) -> None: ...

    @abstractmethod
    def heal(self) -> None: ...


class Filtered(Partition):
    """By iptables, in the namespaces of the two."""

    def __init__(self, cluster: Cluster, one: Member, other: Member, network: Network) -> None:
        super().__init__(cluster, one, other)
        self._network = network
        self.means = "iptables"

    @property
    def spared(self) -> list[Member]:
        return list(self.cluster.members)

    def drop(self) -> None:
        self._network.drop(self._site(self.one), self._site(self.other))

    def refuse(self) -> None:
        self._network.refuse(self._site(self.one), self._site(self.other))

    def heal(self) -> None:
        self._network.join()

    def _site(self, member: Member) -> Site:
        return next(site for site in self._network.sites if site.host == member.sidecar.place.host)


class StoodIn(Partition):
    """Without namespaces: `other` is gone for everybody."""

    def __init__(self, cluster: Cluster, one: Member, other: Member) -> None:
        super().__init__(cluster, one, other)
        self._sockets: list[socket.socket] = []
        self.means = "a stand-in for the member"

    @property
    def spared(self) -> list[Member]:
        return self.cluster.others(self.other)

    def drop(self) -> None:
        self.refuse()
        place = self.other.sidecar.place
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((place.host, place.peers))
        listener.listen(1)
        self._sockets.append(listener)
        for _ in range(FILLERS):
            filler = socket.socket()
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect((place.host, place.peers))
            self._sockets.append(filler)

        def is_full() -> bool:
            with socket.socket() as attempt:
                attempt.settimeout(0.3)
                try:
                    attempt.connect((place.host, place.peers))
                except TimeoutError:
                    return True
                return False

        wait_until("the backlog to be full", is_full, FULL_SECONDS)

    def refuse(self) -> None:
        self.other.sidecar.process.kill()

    def heal(self) -> None:
        for one in self._sockets:
            one.close()
        self.other.sidecar.start_again()
        self.other.sidecar.wait_ready()


def between(cluster: Cluster, one: Member, other: Member, network: Network | None) -> Partition:
    return Filtered(cluster, one, other, network) if network else StoodIn(cluster, one, other)
