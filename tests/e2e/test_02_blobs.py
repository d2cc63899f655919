"""Uploads and downloads whose every request goes to another sidecar."""

from __future__ import annotations

import random

from lib.client import OCTETS, Registry, digest_of
from lib.cluster import Cluster
from lib.image import MIB

# S3 takes no part under 5 MiB, and docker-registry sends none smaller: these straddle its parts.
CHUNK = 6 * MIB
BLOB = random.Random(4).randbytes(4 * CHUNK + 12_345)


def test_chunked_upload_goes_on_at_another_sidecar_each_time(cluster: Cluster) -> None:
    repository = cluster.repository("chunked")
    with Registry(cluster.bases) as registry:
        digest = registry.push_blob(repository, BLOB, chunk=CHUNK)
        for _ in cluster.members:
            assert registry.blob(repository, digest).content == BLOB
    assert cluster.touched(repository) == [cluster.owner(repository)]


def test_upload_status_and_cancel(cluster: Cluster) -> None:
    repository = cluster.repository("cancel")
    with Registry(cluster.bases) as registry:
        location = registry.start_upload(repository)
        answer = registry.expect(202, "PATCH", location, content=b"0123456789", headers=OCTETS)
        location = answer.headers["location"]
        assert registry.expect(204, "GET", location).headers["range"] == "0-9"
        registry.expect(204, "DELETE", location)
        assert registry.send("GET", location).status_code == 404


def test_mount_from_another_repository_belongs_to_the_target(cluster: Cluster) -> None:
    source_owner, target_owner, arrival = cluster.members
    source = cluster.repository_of(source_owner, "mount-from")
    target = cluster.repository_of(target_owner, "mount-to")
    with Registry(cluster.bases) as registry:
        digest = registry.push_blob(source, b"to be mounted" * 1000)
    with Registry([arrival.sidecar.base]) as registry:
        answer = registry.send("POST", f"/v2/{target}/blobs/uploads/?mount={digest}&from={source}")
        # A registry may decline to mount, and start an upload instead.
        assert answer.status_code in (201, 202), answer.text
        if answer.status_code == 201:
            assert registry.blob(target, digest).content == b"to be mounted" * 1000
    assert cluster.touched(target) == [target_owner]
    assert cluster.touched(source) == [source_owner]


def test_head_and_range(cluster: Cluster) -> None:
    repository = cluster.repository("range")
    data = random.Random(5).randbytes(MIB)
    with Registry(cluster.bases) as registry:
        digest = registry.push_blob(repository, data)
        for _ in cluster.members:
            head = registry.blob(repository, digest, method="HEAD")
            assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(data)), b"")
            assert head.headers["docker-content-digest"] == digest
        for _ in cluster.members:
            part = registry.blob(repository, digest, headers={"Range": "bytes=1000-1999"})
            assert (part.status_code, part.content) == (206, data[1000:2000])
            assert part.headers["content-range"] == f"bytes 1000-1999/{len(data)}"


def test_manifest_by_tag_and_by_digest(cluster: Cluster) -> None:
    repository = cluster.repository("manifest")
    with Registry(cluster.bases) as registry:
        manifest = registry.push_image(repository, "v1", [b"layer"])
        for reference in ("v1", digest_of(manifest)):
            for _ in cluster.members:
                assert registry.manifest(repository, reference).content == manifest
                assert registry.manifest(repository, reference, method="HEAD").content == b""
