"""Two members with mTLS between them, one thread each, under a tool that counts; and one connection to ask by."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from lib.certs import Authority
from lib.lease_store import CREDENTIALS, LeaseStore
from lib.process import Ports, wait_until
from lib.sidecar import Place, Settings, Sidecar, Trust, merged

HOST = "127.0.0.1"
# Who is asked, and who else there is.
FIRST, SECOND = "first", "second"
# Repositories, each with its owner.
OWNERS = {"here": FIRST, "there": SECOND}
PULL, PUSH = "pull", "push"
# What is done, and with whose repository.
WORKS = [(what, repository) for what in (PULL, PUSH) for repository in OWNERS]
BODY = b"m" * 700
TIMEOUT_SECONDS = 60
WARM_UP = 100
# Probes and the like are on threads of their own, which are not counted; but less of them is less to wait for.
SETTINGS: Settings = {
    "threads": 1,
    "log": {"requests": True, "format": "json"},
    "cluster": {"pins": [{"prefix": repository, "member": owner} for repository, owner in OWNERS.items()]},
    # Without fallback, an answer came from the owner.
    "reads": {"owner_down": "reject"},
    "limits": {"requests_per_connection": 1_000_000},
    "probes": {"interval": "10s", "timeout": "9s"},
}
# Where the members have no list. Nobody is to miss a renewal while callgrind slows it down.
LEASES = {"lease": "60s"}
# As docker asks for a manifest, and pushes one.
REQUESTS = {
    PULL: """\
GET /v2/{repository}/app/manifests/v1 HTTP/1.1\r
Host: registry.example:5000\r
User-Agent: docker/27.0 go/1.22\r
Accept: application/vnd.oci.image.manifest.v1+json\r
Accept-Encoding: gzip\r
\r
""",
    PUSH: """\
PUT /v2/{repository}/app/manifests/v1 HTTP/1.1\r
Host: registry.example:5000\r
User-Agent: docker/27.0 go/1.22\r
Content-Length: %d\r
Content-Type: application/vnd.oci.image.manifest.v1+json\r
Accept-Encoding: gzip\r
\r
"""
    % len(BODY)
    + BODY.decode(),
}
ANSWER = (
    b"HTTP/1.1 200 OK\r\n"
    b"Content-Type: application/vnd.oci.image.manifest.v1+json\r\n"
    b"Docker-Content-Digest: sha256:" + b"d" * 64 + b"\r\n"
    b"Docker-Distribution-Api-Version: registry/2.0\r\n"
    b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
)


class Replica:
    """Answers every request alike, in one write, for as long as the test runs."""

    def __init__(self) -> None:
        self._listener = socket.create_server((HOST, 0))
        self.address = f"{HOST}:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        asked = b""
        # A member that ends may reset it.
        with closing(connection), suppress(ConnectionResetError):
            while read := connection.recv(1 << 16):
                asked += read
                if asked.endswith(BODY if asked.startswith(b"PUT") else b"\r\n\r\n"):
                    asked = b""
                    connection.sendall(ANSWER)


class Client:
    """One connection that is kept."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._socket = socket.create_connection((sidecar.place.host, sidecar.place.clients), TIMEOUT_SECONDS)

    def ask(self, what: str, repository: str, times: int) -> None:
        request = REQUESTS[what].format(repository=repository).encode()
        for _ in range(times):
            self._socket.sendall(request)
            answer = b""
            while not answer.endswith(BODY):
                read = self._socket.recv(1 << 16)
                assert read, f"the connection ended after {answer!r}"
                answer += read
            assert answer.startswith(b"HTTP/1.1 200 "), answer

    def close(self) -> None:
        self._socket.close()


@dataclass
class Pair:
    """The members by their ids, and a client of the first."""

    members: dict[str, Sidecar]
    client: Client


def with_pair(
    directory: Path, tool: Callable[[str], Sequence[str]], use: Callable[[Pair], None], *, by_leases: bool = False
) -> None:
    """Has `use` the pair, each member started through the words that `tool` has for it, and ends it."""
    ports, replica, authority = Ports(), Replica(), Authority(directory / "ca", "budgets")
    places = [
        Place(name, HOST, ports.take(), ports.take(), ports.take(), tuple(tool(name))) for name in (FIRST, SECOND)
    ]
    store = LeaseStore(list(OWNERS.values()), ports, directory) if by_leases else None
    members: dict[str, Sidecar] = {}
    try:
        for place in places:
            trust = Trust(authority.ca, authority.issue(place.id, place.id, HOST), None)
            settings = merged(SETTINGS, _leases(store, place) if store else {})
            listed = [] if store else places
            members[place.id] = Sidecar(place, replica.address, listed, trust, directory, settings, CREDENTIALS)
        for member in members.values():
            member.wait_ready()
        if store:
            wait_until("both to be members", lambda: len(store.members()) == len(members), TIMEOUT_SECONDS)
        with closing(Client(members[FIRST])) as client:
            for what, repository in WORKS:
                client.ask(what, repository, WARM_UP)
            use(Pair(members, client))
    finally:
        for member in members.values():
            member.process.stop()
        if store:
            store.stop()


def _leases(store: LeaseStore, place: Place) -> Settings:
    return {
        "cluster": {
            "address": place.peer_address,
            "coordination": LEASES | {"store": store.settings(place.id)},
        }
    }
