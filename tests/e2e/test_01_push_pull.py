"""Images of real clients, through every sidecar in turn, come back byte for byte."""

from __future__ import annotations

from pathlib import Path

import oras.client
import pytest
from lib import image
from lib.client import Registry, digest_of
from lib.cluster import Cluster
from lib.image import MIB

SMALL_LAYERS = (64 << 10, 3 * MIB, 200 << 10, 1)
# Above the sizes at which proxies with body limits or total timeouts give up, and several S3 parts each.
LARGE_LAYERS = (120 * MIB, 100 * MIB, 80 * MIB, 64 << 10)


def test_skopeo_pushes_and_pulls_through_every_sidecar_in_turn(cluster: Cluster, tmp_path: Path) -> None:
    pushed = image.build(tmp_path / "pushed", seed=1, layer_bytes=SMALL_LAYERS)
    assert pushed.layer_count == len(SMALL_LAYERS)
    for member in cluster.members:
        repository = cluster.repository("skopeo")
        image.push(pushed, f"{member.sidecar.host}/{repository}:v1")
        for reader in cluster.members:
            pulled = image.pull(f"{reader.sidecar.host}/{repository}:v1", tmp_path / f"{member.id}-{reader.id}")
            pulled.assert_same(pushed)


def test_skopeo_carries_a_300_mib_image(cluster: Cluster, tmp_path: Path) -> None:
    assert sum(LARGE_LAYERS) >= 300 * MIB
    pushed = image.build(tmp_path / "pushed", seed=2, layer_bytes=LARGE_LAYERS)
    repository = cluster.repository("large")
    owner = cluster.owner(repository)
    writer, reader = cluster.others(owner)
    image.push(pushed, f"{writer.sidecar.host}/{repository}:v1")
    image.pull(f"{reader.sidecar.host}/{repository}:v1", tmp_path / "by-hop").assert_same(pushed)
    image.pull(f"{owner.sidecar.host}/{repository}:v1", tmp_path / "by-owner").assert_same(pushed)


def test_oras_pushes_and_pulls_through_every_sidecar_in_turn(cluster: Cluster, tmp_path: Path) -> None:
    artifact = tmp_path / "artifact.bin"
    artifact.write_bytes(bytes(range(256)) * 8192)
    for number, member in enumerate(cluster.members):
        reader = cluster.members[number - 1]
        repository = cluster.repository("oras")
        client = oras.client.OrasClient(insecure=True)
        client.push(
            target=f"{member.sidecar.host}/{repository}:v1", files=[str(artifact)], disable_path_validation=True
        )
        out = tmp_path / member.id
        found = client.pull(target=f"{reader.sidecar.host}/{repository}:v1", outdir=str(out))
        assert [Path(file).read_bytes() for file in found] == [artifact.read_bytes()]


def test_tags_are_listed_by_every_sidecar(cluster: Cluster) -> None:
    repository = cluster.repository("tags")
    names = [f"v{number}" for number in range(5)]
    with Registry(cluster.bases) as registry:
        for name in names:
            registry.push_image(repository, name, [b"layer"])
    for member in cluster.members:
        assert image.list_tags(f"{member.sidecar.host}/{repository}") == names


def test_delete_by_digest_is_seen_by_every_sidecar(cluster: Cluster, tmp_path: Path) -> None:
    pushed = image.build(tmp_path / "pushed", seed=3, layer_bytes=(1024,))
    for member in cluster.members:
        repository = cluster.repository("delete")
        host = member.sidecar.host
        image.push(pushed, f"{host}/{repository}:v1")
        image.delete(f"{host}/{repository}:v1")
        with Registry(cluster.bases) as registry:
            digest = digest_of(pushed.manifest)
            statuses = [registry.manifest(repository, digest).status_code for _ in cluster.members]
        assert statuses == [404] * len(cluster.members)


def test_referrers_are_listed_by_every_sidecar(cluster: Cluster) -> None:
    if not cluster.shape.kind.has_referrers:
        pytest.skip(f"{cluster.shape.kind.kind} has no referrers API")
    repository = cluster.repository("referrers")
    with Registry(cluster.bases) as registry:
        subject = registry.push_image(repository, "subject", [b"layer"])
        referrer = registry.push_referrer(repository, subject, b"signature")
        for _ in cluster.members:
            found = registry.expect(200, "GET", f"/v2/{repository}/referrers/{digest_of(subject)}").json()
            assert [entry["digest"] for entry in found["manifests"]] == [referrer]
