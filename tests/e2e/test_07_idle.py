"""What a connection that waits for its next request costs a sidecar: a thousand of them, by what its process grows."""

from __future__ import annotations

import resource
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from lib import memory
from lib.cluster import Cluster, Member

KIB = 1 << 10
CONNECTIONS = 1000
# What workers keep for later use is there before it is measured.
BEFORE = 50
# The least of these, 5,000 at a time, take 2.0 and 5.5 KiB each; of fewer each takes its part in pages that are not
# full. A buffer that is kept for each would be 4 KiB more.
MOST = {"fast_cluster": 3 * KIB, "tls_cluster": 8 * KIB}
TIMEOUT_SECONDS = 60.0


@pytest.mark.parametrize("name", MOST)
def test_a_connection_that_waits_takes_little(name: str, request: pytest.FixtureRequest, figures: list[str]) -> None:
    cluster: Cluster = request.getfixturevalue(name)
    member = cluster.members[0]
    pid = member.sidecar.process.pid
    with _many_files(), ExitStack() as open_ones:
        _open(cluster, member, BEFORE, open_ones)
        before = memory.own(pid)
        _open(cluster, member, CONNECTIONS, open_ones)
        each = (memory.own(pid) - before) / CONNECTIONS
    figures.append(f"idle connection, {member.sidecar.base.partition(':')[0]}: {each / KIB:.2f} KiB")
    assert each <= MOST[name], figures[-1]


def _open(cluster: Cluster, member: Member, count: int, kept: ExitStack) -> None:
    """Opens so many connections and has each answered once."""
    place = member.sidecar.place
    context = ssl.create_default_context(cafile=str(cluster.ca)) if cluster.ca else None
    for _ in range(count):
        connection = socket.create_connection((place.host, place.clients), timeout=TIMEOUT_SECONDS)
        if context:
            connection = context.wrap_socket(connection, server_hostname=place.host)
        kept.enter_context(connection)
        connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: registry.test\r\n\r\n")
        assert connection.recv(64 * KIB).startswith(b"HTTP/1.1 200 ")


@contextmanager
def _many_files() -> Iterator[None]:
    usual, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (usual, most))
