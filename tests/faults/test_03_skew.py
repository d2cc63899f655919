"""Members that do not have the same cluster in their files: nobody may write to a repository's wrong owner."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from conftest import MakeCluster
from harness import load
from harness.ask import Seen, once
from harness.repeating import end_all, many
from harness.scale import Scale
from harness.seed import CONFIG, LAYER, OTHER_MANIFEST
from harness.table import Row
from lib.client import Registry
from lib.cluster import Cluster, Member
from lib.process import wait_until
from lib.sidecar import Settings

ALARM_SECONDS = 5.0
PATIENCE_SECONDS = 30.0
WATCHED = 6
PUSHES_PER_SECOND = 5.0

SKEWS = ["member list", "hash key", "placement"]


def skewed(kind: str, cluster: Cluster) -> Settings:
    listed = [{"id": member.id, "address": member.sidecar.place.peer_address} for member in cluster.members]
    return {
        "member list": {"cluster": {"members": listed[1:]}},
        "hash key": {"cluster": {"hash_key_file": str(cluster.members[0].sidecar.config.with_name("other.key"))}},
        "placement": {"cluster": {"placement": "zot"}},
    }[kind]


@pytest.mark.row(
    7,
    "a member comes back with another view",
    "0 writes to a wrong owner, alarm ≤ 5 s, agreeing repositories unaffected (with another key none is known to agree)",
)
@pytest.mark.parametrize("kind", SKEWS)
def test_members_with_two_views(
    make_cluster: MakeCluster, scale: Scale, row: Row, tmp_path: Path, kind: str
) -> None:
    # The member is to change with its restart, not when its file does.
    cluster = make_cluster({"reload": {"watch": False}})
    first, second, astray = cluster.members
    other_key = first.sidecar.config.with_name("other.key")
    other_key.write_bytes(b"sixteen others..")
    other_key.chmod(0o600)
    names = [cluster.repository("skew") for _ in range(scale.disputed * 4)]
    # Both blobs are in every repository, so that a manifest is all that is missing.
    with Registry(cluster.bases) as registry:
        for name in names:
            for blob in (CONFIG, LAYER):
                registry.push_blob(name, blob)
    ours = first.sidecar.owners(names)
    astray.sidecar.configure(skewed(kind, cluster))
    theirs = astray.sidecar.owners(names)
    disputed = [name for name in names if ours[name] != theirs[name]][: scale.disputed]
    # Of the two that agree with each other: these repositories are none of the third one's business.
    agreed = [name for name in names if ours[name] == theirs[name] != astray.id][: scale.disputed]
    row.saw(f"{len(disputed)} repositories in dispute, {len(agreed)} agreed upon")
    assert len(disputed) >= WATCHED and len(agreed) >= 2

    with load.start(
        cluster,
        [],
        [first, second],
        directory=tmp_path,
        scale=scale,
        normal_seconds=1.0,
        repositories=agreed[:WATCHED],
        # With another key no write is taken anywhere.
        pushes_per_second=0.0 if kind == "hash key" else PUSHES_PER_SECOND,
    ) as background:
        # From before the member is there, so that no moment is left out.
        writers = [
            writer for name in disputed[:WATCHED] for writer in many([first, second], name, "write", 1)
        ]
        astray.sidecar.process.stop()
        came = time.monotonic()
        astray.sidecar.start_again()
        astray.sidecar.wait_ready()
        ready = time.monotonic()
        alarmed = wait_until("the alarm", lambda: _alarmed(cluster, astray), PATIENCE_SECONDS)
        known = time.monotonic()
        answers = {name: [_write(member, name) for member in cluster.members] for name in disputed}
        end_all(writers)
        unaffected = [_write(member, name) for name in agreed for member in (first, second)]
    row.saw(f"alarm at {', '.join(alarmed)} {known - came:.2f} s after its start")
    written = _writers(cluster)
    wrong = {name: found for name in disputed if (found := written.get(name, set()) - {ours[name]})}
    row.saw(f"{len(wrong)} repositories written to by a wrong owner")
    refused = [seen for seens in answers.values() for seen in seens if seen.status == 503]
    taken = [seen for seens in answers.values() for seen in seens if seen.status == 201]
    row.saw(f"of {3 * len(disputed)} writes in dispute {len(refused)} were refused with 503, {len(taken)} taken by the owner")
    row.saw(f"{sum(seen.status == 201 for seen in unaffected)} of {len(unaffected)} others taken")
    assert known - came <= ALARM_SECONDS + (ready - came)
    assert not wrong, f"written to by a wrong owner: {wrong}"
    # Owners under another key cannot be computed, so all repositories may be in dispute.
    expected = 503 if kind == "hash key" else 201
    assert not (bad := [str(seen) for seen in unaffected if seen.status != expected]), bad
    assert len(refused) + len(taken) == 3 * len(disputed), answers
    # Whoever is in nobody's dispute, because the other view has lost it, goes on; nobody else does.
    assert kind == "member list" or not taken, [str(seen) for seen in taken]
    assert all(seens[-1].status == 503 for seens in answers.values()), "the member with the other view refuses"
    background.assert_unharmed(row)


def _write(member: Member, repository: str) -> Seen:
    return once(member, "PUT", f"/v2/{repository}/manifests/written", OTHER_MANIFEST)


def _alarmed(cluster: Cluster, astray: Member) -> list[str]:
    """The members that say so, once all do."""
    saying = []
    for member in cluster.members:
        others = [astray] if member is not astray else cluster.others(astray)
        series = [f'shardlet_peer_view_same{{member="{other.id}"}} 0' for other in others]
        if any(one in member.sidecar.metrics() for one in series) and _logged(member):
            saying.append(member.id)
    return saying if len(saying) == len(cluster.members) else []


def _logged(member: Member) -> bool:
    return "a peer has another view" in member.sidecar.process.text()


def _writers(cluster: Cluster) -> dict[str, set[str]]:
    """Repository → members whose replicas have written a manifest of it, by the replicas' own logs."""
    writers: dict[str, set[str]] = {}
    for member in cluster.members:
        for served in member.replica.served():
            if served.method == "PUT" and "/manifests/" in served.path and served.repository:
                writers.setdefault(served.repository, set()).add(member.id)
    return writers
