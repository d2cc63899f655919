"""A member in between changes nothing of what the OCI distribution-spec conformance suite finds."""

from __future__ import annotations

from pathlib import Path

from lib import conformance
from lib.cluster import Cluster
from lib.tools import Entry

# The suite has had about 700 for years.
TESTS_AT_LEAST = 600


def test_conformance_is_that_of_the_registry(wired_cluster: Cluster, tmp_path: Path, figures: list[str]) -> None:
    """Straight to a registry, and through a member that owns neither of the two repositories."""
    cluster = wired_cluster
    owner, other_owner, arrival = cluster.members
    straight, through = (
        (cluster.repository_of(owner, f"conformance-{way}"), cluster.repository_of(other_owner, f"mounted-{way}"))
        for way in ("straight", "through")
    )
    kind = cluster.shape.kind.kind
    direct = conformance.run(Entry(owner.replica.address), straight, tmp_path / "straight")
    hopped = conformance.run(Entry(arrival.sidecar.host, cluster.ca), through, tmp_path / "through")
    figures.append(f"{kind} straight: {conformance.counted(direct)}; through a member: {conformance.counted(hopped)}")
    assert sum(map(len, direct.values())) >= TESTS_AT_LEAST, "the suite did not run whole"
    assert not (different := conformance.differences(direct, hopped)), (
        "straight and through a member:\n" + "\n".join(different)
    )
    # A read may go elsewhere: docker-registry breaks off its answers to ranges that cannot be satisfied.
    assert [_writers(cluster, repository) for repository in through] == [{owner.id}, {other_owner.id}]


def _writers(cluster: Cluster, repository: str) -> set[str]:
    """The members whose replicas were asked for a change of it."""
    return {
        member.id
        for member in cluster.members
        for request in member.replica.served()
        if request.repository == repository and request.method not in ("GET", "HEAD")
    }
