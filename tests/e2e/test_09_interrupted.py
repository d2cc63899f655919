"""What is cut short leaves nothing behind, and what went away comes back."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from lib.client import OCI_MANIFEST, Registry, digest_of, manifest_of
from lib.cluster import Cluster, Member
from lib.image import MIB
from lib.process import wait_until

BLOB = bytes(range(256)) * (16 * MIB // 256)
TIMEOUT_SECONDS = 30.0


def test_a_client_that_goes_away_in_an_upload_leaves_nothing(cluster: Cluster) -> None:
    owner = cluster.members[0]
    repository = cluster.repository_of(owner, "gone")
    digest = digest_of(BLOB)
    for member in cluster.members:
        with Registry([member.sidecar.base]) as registry:
            location = registry.start_upload(repository)
            _send_half(member, location)
            assert registry.blob(repository, digest, method="HEAD").status_code == 404
            manifest = manifest_of(b"{}", [BLOB])
            target = f"/v2/{repository}/manifests/half"
            refused = registry.send("PUT", target, content=manifest, headers={"Content-Type": OCI_MANIFEST})
            assert refused.status_code in (400, 404), refused.text
    with Registry(cluster.bases) as registry:
        pushed = registry.push_image(repository, "whole", [BLOB])
        assert registry.manifest(repository, "whole").content == pushed
        assert registry.blob(repository, digest).content == BLOB
        assert registry.tags(repository) == ["whole"]


def test_pushes_work_again_after_a_replica_was_restarted(fast_cluster: Cluster) -> None:
    owner = fast_cluster.members[0]
    repository = fast_cluster.repository_of(owner, "restart")
    with Registry(fast_cluster.bases) as registry:
        before = registry.push_image(repository, "before", [b"layer"])
        owner.replica.process.kill()
        for _ in fast_cluster.members:
            answer = registry.send("POST", f"/v2/{repository}/blobs/uploads/")
            assert answer.status_code in (502, 503), answer.text
            assert answer.json()["errors"], answer.text
        owner.replica.restart()

        for member in fast_cluster.members:
            wait_until("writes to be taken again", lambda at=member: _takes_writes(at, repository), TIMEOUT_SECONDS)
        wait_until("the sidecar to be ready again", owner.sidecar.is_ready, TIMEOUT_SECONDS)
        registry.push_image(repository, "after", [b"another layer"])
        assert registry.tags(repository) == ["after", "before"]
        assert registry.manifest(repository, "before").content == before


def _takes_writes(member: Member, repository: str) -> bool:
    with Registry([member.sidecar.base]) as registry:
        return registry.send("POST", f"/v2/{repository}/blobs/uploads/").status_code == 202


def _send_half(member: Member, location: str) -> None:
    """Announces the whole blob, sends half of it, and closes."""
    place = member.sidecar.place
    target = urlsplit(location)
    head = (
        f"PATCH {target.path}?{target.query} HTTP/1.1\r\nHost: {member.sidecar.host}\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {len(BLOB)}\r\n\r\n"
    )
    with socket.create_connection((place.host, place.clients), timeout=TIMEOUT_SECONDS) as connection:
        connection.sendall(head.encode() + BLOB[: len(BLOB) // 2])
