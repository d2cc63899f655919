"""A small image that pulls and pushes can be tried with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lib.client import Registry, manifest_of
from lib.cluster import Cluster, Member

CONFIG, LAYER = b"{}", b"layer"
MANIFEST = manifest_of(CONFIG, [LAYER])
# For writes while the other is read: over a directory, docker-registry answers 500 to reads of what it writes.
OTHER_MANIFEST = manifest_of(CONFIG, [LAYER], annotations={"test.write": "other"})
TAG = "steady"


def seed(cluster: Cluster, repositories: Iterable[str], through: Sequence[Member] = ()) -> None:
    """Puts the image into each of them."""
    bases = [member.sidecar.base for member in through] or cluster.bases
    with Registry(bases, cluster.ca) as registry:
        for repository in repositories:
            for blob in (CONFIG, LAYER):
                registry.push_blob(repository, blob)
            registry.push_manifest(repository, TAG, MANIFEST)


def seeded(cluster: Cluster, owner: Member, label: str, count: int) -> list[str]:
    """So many repositories of one owner, with the image in each."""
    names = [cluster.repository_of(owner, label) for _ in range(count)]
    seed(cluster, names)
    return names
