"""After everything else: each repository of the whole run was touched by one replica, and by its owner."""

from __future__ import annotations

from lib.client import Registry
from lib.cluster import Cluster

REPOSITORIES = 30


def test_each_repository_was_touched_by_its_owner_alone(cluster: Cluster, figures: list[str]) -> None:
    with Registry(cluster.bases) as registry:
        for _ in range(REPOSITORIES):
            repository = cluster.repository("owned")
            registry.push_image(repository, "v1", [b"layer"])
            registry.tags(repository)

    touched = {member.id: member.replica.repositories() for member in cluster.members}
    everything = sorted(set().union(*touched.values()))
    owners = cluster.members[0].sidecar.owners(everything)
    astray = [
        (repository, owners[repository], member)
        for member, repositories in touched.items()
        for repository in sorted(repositories)
        if owners[repository] != member
    ]
    assert not astray, f"(repository, owner, member whose replica was asked): {astray}"
    assert all(touched.values()), "every member owned something"
    shares = ", ".join(f"{member} {len(repositories)}" for member, repositories in touched.items())
    figures.append(f"{cluster.shape.kind.kind}: {len(everything)} repositories, each in one replica's log: {shares}")
