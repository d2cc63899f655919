"""Clients that do not choose their sidecar: behind HAProxy without stickiness, and by one name with three addresses."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import oras.client
import pytest
from lib import image
from lib.client import Registry
from lib.cluster import PUBLIC_NAME, Cluster
from lib.haproxy import HAProxy
from lib.image import MIB
from lib.process import wait_until

USED_SECONDS = 30.0
LAYERS = (2 * MIB, 300 << 10, 64 << 10)


def test_skopeo_behind_haproxy_round_robin(cluster: Cluster, haproxy: HAProxy, tmp_path: Path) -> None:
    pushed = image.build(tmp_path / "pushed", seed=6, layer_bytes=LAYERS)
    repository = cluster.repository("haproxy")
    image.push(pushed, f"{haproxy.host}/{repository}:v1")
    image.pull(f"{haproxy.host}/{repository}:v1", tmp_path / "pulled").assert_same(pushed)
    assert image.list_tags(f"{haproxy.host}/{repository}") == ["v1"]
    assert cluster.touched(repository) == [cluster.owner(repository)]


def test_chunked_upload_behind_haproxy_round_robin(cluster: Cluster, haproxy: HAProxy) -> None:
    repository = cluster.repository("haproxy-chunked")
    blob = bytes(12 * MIB)

    def all_are_used() -> bool:
        # A connection each: in TCP mode HAProxy chooses once per connection, and not always strictly in turn. It writes
        # of a connection when that has ended.
        with Registry([haproxy.base]) as registry:
            digest = registry.push_blob(repository, blob, chunk=6 * MIB)
            assert registry.blob(repository, digest).content == blob
        return len(haproxy.servers_used()) == len(cluster.members)

    wait_until("all sidecars to be used", all_are_used, USED_SECONDS)
    assert cluster.touched(repository) == [cluster.owner(repository)]


def test_oras_by_one_name_for_all_sidecars(cluster: Cluster, rotating_name: str, tmp_path: Path) -> None:
    artifact = tmp_path / "artifact.bin"
    artifact.write_bytes(bytes(range(256)) * 4096)
    target = f"{rotating_name}:{cluster.members[0].sidecar.place.clients}/{cluster.repository('one-name')}:v1"
    for turn in range(2 * len(cluster.members)):
        # A client each, so that each resolves the name again.
        oras.client.OrasClient(insecure=True).push(target=target, files=[str(artifact)], disable_path_validation=True)
        found = oras.client.OrasClient(insecure=True).pull(target=target, outdir=str(tmp_path / str(turn)))
        assert [Path(file).read_bytes() for file in found] == [artifact.read_bytes()]


def test_every_request_by_a_name_that_resolves_anew(cluster: Cluster, rotating_name: str) -> None:
    repository = cluster.repository("one-name")
    base = f"http://{rotating_name}:{cluster.members[0].sidecar.place.clients}"
    with Registry([base], reconnect=True) as registry:
        manifest = registry.push_image(repository, "v1", [bytes(6 * MIB)])
        assert registry.manifest(repository, "v1").content == manifest
    assert cluster.touched(repository) == [cluster.owner(repository)]


@pytest.fixture
def rotating_name(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A name that this process resolves to one more sidecar's address first at each look-up, as DNS round robin does.

    Inside the process, because a name server on port 53 or a changed /etc/hosts would be the machine's.
    """
    turns = itertools.cycle(member.sidecar.place.host for member in cluster.members)
    given: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: str | bytes | None, *rest: Any, **named: Any) -> list[Any]:
        if host not in (PUBLIC_NAME, PUBLIC_NAME.encode()):
            return real(host, *rest, **named)
        given.append(next(turns))
        return real(given[-1], *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    yield PUBLIC_NAME
    assert len(set(given)) == len(cluster.members), f"only these were used: {given}"
