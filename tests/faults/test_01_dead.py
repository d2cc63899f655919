"""Processes that die: a replica in the middle of a push or a pull, a sidecar."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from conftest import MakeCluster
from harness import load, transfer
from harness.ask import once
from harness.chunked import Chunked
from harness.repeating import end_all, many
from harness.scale import MIB, Scale
from harness.seed import OTHER_MANIFEST, seeded
from harness.table import Row
from lib.cluster import Cluster, Member
from lib.process import wait_until

DEATH_SEEN_SECONDS = 2.0
ANSWER_SECONDS = 1.0
BACK_SECONDS = 2.0
PATIENCE_SECONDS = 30.0
DEAD_SECONDS = 3.0
IN_PARTS = pytest.mark.parametrize("through", ["a peer", "the owner"])


@pytest.mark.row(
    1,
    "SIGKILL of the owner's replica in the middle of a push",
    "error or cut ≤ 2 s after the death; nothing of it visible; the push succeeds after the restart",
)
@IN_PARTS
def test_a_replica_dies_in_a_push(
    make_cluster: MakeCluster, scale: Scale, row: Row, tmp_path: Path, through: str
) -> None:
    cluster, size = make_cluster(), scale.blob_bytes
    owner, peer, other = cluster.members
    arrival = peer if through == "a peer" else owner
    repository = cluster.repository_of(owner, "push")
    blob = f"/v2/{repository}/blobs/{transfer.digest(size)}"
    with load.start(
        cluster, [peer, other], cluster.members, directory=tmp_path, scale=scale
    ) as background:
        upload = transfer.Upload(arrival, repository, size)
        upload.send(size // 2)
        died = time.monotonic()
        owner.replica.process.kill()
        seen, _ = upload.send_rest()
        ended = time.monotonic() - died
        row.saw(f"{size // MIB} MiB: {seen.status or 'no answer'} {seen.reason or seen.cut} {ended:.2f} s after")
        while_dead = {member.id: once(member, "HEAD", blob).status for member in cluster.members}

        owner.replica.restart()
        restarted = time.monotonic()
        wait_until("writes to be taken", lambda: _all_take_writes(cluster, repository), PATIENCE_SECONDS)
        row.saw(f"writes are taken {time.monotonic() - restarted:.2f} s after the restart")
        after = {member.id: once(member, "HEAD", blob).status for member in cluster.members}
        transfer.push(arrival, repository, size)
        pulled = [transfer.pull(member, blob) for member in (arrival, other)]
    assert ended <= DEATH_SEEN_SECONDS
    assert seen.cut or seen.status >= 500, seen
    assert set(while_dead.values()) <= {404, 503}, f"visible before it was complete: {while_dead}"
    assert set(after.values()) == {404}, f"visible before it was complete: {after}"
    assert [(count, digest) for _, count, digest in pulled] == [(size, transfer.digest(size))] * 2
    background.assert_unharmed(row)


@pytest.mark.row(
    2,
    "SIGKILL of the owner's sidecar",
    "reads of its repositories all succeed within 1 s; writes 503 within 1 s, with Retry-After; back ≤ 2 s after the restart",
)
def test_a_sidecar_dies(make_cluster: MakeCluster, scale: Scale, row: Row, tmp_path: Path) -> None:
    cluster = make_cluster()
    owner, *peers = cluster.members
    repository = seeded(cluster, owner, "sidecar", 1)[0]
    with load.start(cluster, peers, peers, directory=tmp_path, scale=scale) as background:
        readers, writers = (many(peers, repository, kind) for kind in ("read", "write"))
        time.sleep(ANSWER_SECONDS)
        dying = time.monotonic()
        owner.sidecar.process.kill()
        died = time.monotonic()
        time.sleep(DEAD_SECONDS)
        end_all([*readers, *writers])
        restarted = time.monotonic()
        owner.sidecar.start_again()
        back = _back(cluster.members, repository)
    # A read that was under way counts, a write that was may have been lost.
    reads = [seen for reader in readers for seen in reader.begun_after(dying - ANSWER_SECONDS)]
    writes = [seen for writer in writers for seen in writer.begun_after(died)]
    row.saw(f"{len(reads)} reads, slowest {max(seen.seconds for seen in reads):.3f} s")
    row.saw(f"{len(writes)} writes, slowest {max(seen.seconds for seen in writes):.3f} s")
    row.saw(f"back after {back - restarted:.2f} s")
    assert not (bad := [str(seen) for seen in reads if seen.status != 200 or seen.seconds > ANSWER_SECONDS]), bad
    refused = [seen for seen in writes if seen.status == 503 and seen.retry_after and seen.seconds <= ANSWER_SECONDS]
    assert not (bad := [str(seen) for seen in writes if seen not in refused]), bad
    assert back - restarted <= BACK_SECONDS
    background.assert_unharmed(row)


@pytest.mark.row(
    9,
    "the owner's replica dies in the middle of an answer",
    "the client sees an error, not a short body taken for whole",
)
@pytest.mark.parametrize("framing", ["content-length", "chunked"])
def test_a_replica_dies_in_an_answer(
    make_cluster: MakeCluster, scale: Scale, row: Row, tmp_path: Path, framing: str
) -> None:
    size = scale.blob_bytes
    chunked = framing == "chunked"
    cluster = make_cluster(kind=Chunked) if chunked else make_cluster()
    owner, peer, other = cluster.members
    repository = cluster.repository_of(owner, "pull")
    if chunked:
        path = f"/v2/{repository}/tags/list"
    else:
        transfer.push(owner, repository, size)
        path = f"/v2/{repository}/blobs/{transfer.digest(size)}"
    background = None
    if not chunked:
        background = load.start(cluster, [peer, other], cluster.members, directory=tmp_path, scale=scale, normal_seconds=1.0)
        background.measure("normal", background.normal_seconds)
    for arrival in (owner, peer):
        seen, count, _ = transfer.pull(arrival, path, size // 4, owner.replica.process.kill)
        row.saw(f"{seen.cut or 'NO ERROR'} after {count / MIB:.0f} MiB, {seen.seconds:.2f} s after the death")
        assert seen.status == 200 and seen.cut, f"{count} bytes were taken for the whole: {seen}"
        assert chunked or count < size
        owner.replica.restart()
        # Until then another replica serves, and killing this one would end nothing.
        wait_until("the owner to serve again", lambda: _is_up(cluster, owner), PATIENCE_SECONDS)
    if background:
        background.end()
        background.assert_unharmed(row)


def _back(members: list[Member], repository: str) -> float:
    """When the last of the members took a write again."""
    for member in members:
        taken = lambda member=member: once(member, "PUT", f"/v2/{repository}/manifests/back", OTHER_MANIFEST).status == 201  # noqa: E731
        wait_until(f"a write through {member.id}", taken, PATIENCE_SECONDS)
    return time.monotonic()


def _all_take_writes(cluster: Cluster, repository: str) -> bool:
    return all(
        once(member, "POST", f"/v2/{repository}/blobs/uploads/", b"").status == 202 for member in cluster.members
    )


def _is_up(cluster: Cluster, owner: Member) -> bool:
    """Its replica to all, and no circuit open."""
    up = [peer.sidecar.metric(f'shardlet_peer_up{{member="{owner.id}"}}') == 1 for peer in cluster.others(owner)]
    closed = [one.sidecar.metric(f'shardlet_circuit_open{{member="{owner.id}"}}') == 0 for one in cluster.members]
    return all([owner.sidecar.metric("shardlet_replica_up") == 1, *up, *closed])
