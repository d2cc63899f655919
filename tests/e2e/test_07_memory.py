"""A gigabyte through a hop is never held: each sidecar's peak stays near its idle size."""

from __future__ import annotations

import hashlib
import http.client
import random
from collections.abc import Iterator
from urllib.parse import quote

from lib import memory
from lib.client import Registry
from lib.cluster import Cluster, Member
from lib.memory import MIB

GIB = 1024 * MIB
HEADROOM = 32 * MIB
TIMEOUT_SECONDS = 120.0
_CHUNK = random.Random(7).randbytes(MIB)


def test_one_gibibyte_up_and_down_through_a_hop(fast_cluster: Cluster, figures: list[str]) -> None:
    owner, arrival, _ = fast_cluster.members
    repository = fast_cluster.repository_of(owner, "gigabyte")
    with Registry(fast_cluster.bases) as registry:
        for _ in range(30):  # idle means: after having worked, not before the first request
            registry.push_blob(repository, b"warm-up" * 1000)
    digest = _digest()
    idle = _start(fast_cluster)

    _upload(arrival, repository, digest)
    _assert_near_idle(fast_cluster, idle, "upload", figures)

    idle = _start(fast_cluster)
    assert _download(arrival, repository, digest) == digest
    _assert_near_idle(fast_cluster, idle, "download", figures)


def _start(cluster: Cluster) -> dict[str, int]:
    """Resident bytes of every sidecar, whose peaks count from now on."""
    for member in cluster.members:
        memory.reset_peak(member.sidecar.process.pid)
    return {member.id: memory.resident(member.sidecar.process.pid) for member in cluster.members}


def _assert_near_idle(cluster: Cluster, idle: dict[str, int], what: str, figures: list[str]) -> None:
    for member in cluster.members:
        grown = memory.peak(member.sidecar.process.pid) - idle[member.id]
        figures.append(
            f"1 GiB {what} through a hop: {member.id} peaks {grown / MIB:.1f} MiB "
            f"above {idle[member.id] / MIB:.1f} MiB idle"
        )
        assert grown <= HEADROOM, figures[-1]


def _upload(member: Member, repository: str, digest: str) -> None:
    """As docker does it: one PATCH of unknown length, then a PUT."""
    with Registry([member.sidecar.base]) as registry:
        connection = _connection(member)
        connection.request(
            "PATCH",
            registry.start_upload(repository),
            body=_body(),
            encode_chunked=True,
            headers={
                "Content-Type": "application/octet-stream",
                "Transfer-Encoding": "chunked",
            },
        )
        answer = connection.getresponse()
        assert answer.status == 202, answer.read()
        registry.expect(201, "PUT", f"{answer.headers['location']}&digest={quote(digest)}")
        connection.close()


def _download(member: Member, repository: str, digest: str) -> str:
    connection = _connection(member)
    connection.request("GET", f"/v2/{repository}/blobs/{digest}")
    answer = connection.getresponse()
    assert (answer.status, answer.length) == (200, GIB)
    summed = hashlib.sha256()
    buffer = bytearray(MIB)
    while count := answer.readinto(buffer):
        summed.update(memoryview(buffer)[:count])
    connection.close()
    return f"sha256:{summed.hexdigest()}"


def _connection(member: Member) -> http.client.HTTPConnection:
    place = member.sidecar.place
    return http.client.HTTPConnection(place.host, place.clients, timeout=TIMEOUT_SECONDS)


def _body() -> Iterator[bytes]:
    for _ in range(GIB // MIB):
        yield _CHUNK


def _digest() -> str:
    summed = hashlib.sha256()
    for part in _body():
        summed.update(part)
    return f"sha256:{summed.hexdigest()}"
