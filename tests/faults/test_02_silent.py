"""Parties that are there and say nothing: a frozen replica, a black hole, a frozen store; and one that refuses."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import MakeCluster
from harness import load, partition
from harness.ask import Seen, once
from harness.network import Network
from harness.paced import paced
from harness.repeating import end_all, many
from harness.scale import MIB, Scale
from harness.seed import OTHER_MANIFEST, seeded
from harness.table import Row
from lib import memory
from lib.cluster import LOOPBACK, Cluster, Member
from lib.process import wait_until
from lib.store import Moto

PATIENCE_SECONDS = 60.0
# A peer waits so much longer than the owner, so that the owner's own answer can come.
GRACE_SECONDS = 1.0
SLACK_SECONDS = 0.5
CONNECT_SECONDS = 1.0
OPEN_P99_SECONDS = 0.010
REFUSED_SECONDS = 0.05
CLIENTS = 8
HANGING_CLIENTS = 40
# What is measured is what requests find out by themselves.
NO_VERDICTS = {"rise": 1, "fall": 100}
MEMORY_GROWTH = 64 * MIB


@pytest.mark.row(
    3,
    "the owner's replica is frozen (SIGSTOP)",
    "bounded by the timeout, the circuit opens, other repositories' p99 stays under twice normal; recovers by itself",
)
def test_a_replica_is_frozen(make_cluster: MakeCluster, scale: Scale, row: Row, tmp_path: Path) -> None:
    timeouts = {"idle": scale.idle, "commit": scale.idle}
    cluster = make_cluster({"timeouts": timeouts})
    owner, peer, other = cluster.members
    repository = seeded(cluster, owner, "frozen", 1)[0]
    with load.start(
        cluster, [peer, other], cluster.members, directory=tmp_path, scale=scale
    ) as background:
        frozen = time.monotonic()
        owner.replica.process.signal(signal.SIGSTOP)
        writers = many([owner, peer], repository, "write", 2)
        readers = many([owner, peer], repository, "read", 2)
        background.measure("frozen", scale.frozen_seconds)
        opened = owner.sidecar.metric(f'shardlet_circuit_opened_total{{member="{owner.id}"}}')
        end_all([*writers, *readers])
        thawed = time.monotonic()
        owner.replica.process.signal(signal.SIGCONT)
        wait_until("writes to be taken again", lambda: _all_write(cluster, repository), PATIENCE_SECONDS)
        back = time.monotonic() - thawed
    limit = scale.idle_seconds + GRACE_SECONDS + SLACK_SECONDS
    writes = [seen for writer in writers for seen in writer.begun_after(frozen)]
    reads = [seen for reader in readers for seen in reader.begun_after(frozen)]
    # After whoever waited at the beginning has had its answer, nobody waits but for a trial.
    late = [seen for client in [*writers, *readers] for seen in client.begun_after(frozen + limit)]
    at_once = [seen for seen in late if seen.seconds <= scale.slack_seconds]
    served = [seen for seen in reads if seen.status == 200]
    row.saw(f"circuit opened {opened:.0f} times")
    row.saw(f"slowest answer {max(seen.seconds for seen in [*writes, *reads]):.2f} s, timeout {scale.idle}")
    row.saw(f"afterwards {len(at_once)} of {len(late)} answers within {scale.slack_seconds * 1e3:.0f} ms")
    row.saw(f"{len(served)} of {len(reads)} reads were served by another replica")
    row.saw(f"writes are taken {back:.2f} s after the thaw")
    assert opened
    assert not (bad := [str(seen) for seen in [*writes, *reads] if seen.seconds > limit or not seen.status]), bad
    assert not (bad := [str(seen) for seen in writes if seen.status not in (503, 504)]), bad
    assert len(late) > CLIENTS and len(at_once) >= 0.9 * len(late), [str(seen) for seen in late]
    background.assert_unharmed(row, "frozen")


@pytest.mark.row(
    4,
    "the owner is black-holed (its packets are dropped)",
    "first errors within the connect timeout + 50 ms; after the circuit opens, p99 of rejects and fallbacks < 10 ms, the replica's share not counted",
)
@pytest.mark.parametrize("connections", ["new", "pooled"])
def test_a_peer_is_a_black_hole(
    make_cluster: MakeCluster,
    network_of_three: Network | None,
    scale: Scale,
    row: Row,
    tmp_path: Path,
    connections: str,
) -> None:
    sites = network_of_three.sites if network_of_three else LOOPBACK
    timeouts = {"connect": f"{CONNECT_SECONDS:.0f}s", "idle": scale.idle, "commit": scale.idle}
    cluster = make_cluster({"timeouts": timeouts, "probes": NO_VERDICTS}, sites=sites)
    arrival, owner, third = cluster.members
    repository = seeded(cluster, owner, "hole", 1)[0]
    if connections == "new":
        # Its pool is empty after a restart.
        arrival.sidecar.process.kill()
        arrival.sidecar.start_again()
        cluster.wait_settled()
    parted = partition.between(cluster, arrival, owner, network_of_three)
    with load.start(
        cluster, [third], parted.spared, directory=tmp_path, scale=scale
    ) as background:
        if connections == "pooled":
            _together(CLIENTS, lambda: once(arrival, "GET", f"/v2/{repository}/manifests/steady"))
        parted.drop()
        first = _together(CLIENTS, lambda: _write(arrival, repository))
        slowest = max(seen.seconds for seen in first)
        row.saw(f"{parted.means}: {len(first)} first errors, slowest {slowest:.3f} s, connect timeout {CONNECT_SECONDS} s")
        _wait_for_rejects(arrival, repository)
        answers = paced(arrival, repository, scale.samples)
        parted.heal()
        healed = time.monotonic()
        wait_until("writes to be taken again", lambda: _write(arrival, repository).status == 201, PATIENCE_SECONDS)
        row.saw(f"writes are taken {time.monotonic() - healed:.2f} s after the end")
    answers.tell(row)
    writes, reads = answers.writes.seen, answers.reads.seen
    assert {seen.status for seen in first} <= {502, 503, 504}, [str(seen) for seen in first]
    assert {seen.status for seen in writes} == {503} and all(seen.retry_after for seen in writes)
    assert {seen.status for seen in reads} == {200}
    assert slowest <= CONNECT_SECONDS + scale.slack_seconds, [str(seen) for seen in first]
    answers.assert_at_once(OPEN_P99_SECONDS, scale)
    background.assert_unharmed(row)


@pytest.mark.row(5, "the owner refuses (RST)", "503 or fallback < 50 ms, the replica's share not counted")
def test_a_peer_refuses(
    make_cluster: MakeCluster, network_of_three: Network | None, scale: Scale, row: Row, tmp_path: Path
) -> None:
    sites = network_of_three.sites if network_of_three else LOOPBACK
    timeouts = {"idle": scale.idle, "commit": scale.idle}
    cluster = make_cluster({"timeouts": timeouts, "probes": NO_VERDICTS}, sites=sites)
    arrival, owner, third = cluster.members
    repository = seeded(cluster, owner, "refused", 1)[0]
    parted = partition.between(cluster, arrival, owner, network_of_three)
    with load.start(
        cluster, [third], parted.spared, directory=tmp_path, scale=scale
    ) as background:
        parted.refuse()
        answers = paced(arrival, repository, scale.samples)
        parted.heal()
        healed = time.monotonic()
        wait_until("writes to be taken again", lambda: _write(arrival, repository).status == 201, PATIENCE_SECONDS)
        row.saw(f"{parted.means}: writes are taken {time.monotonic() - healed:.2f} s after the end")
    answers.tell(row)
    writes, reads = answers.writes.seen, answers.reads.seen
    row.saw(f"slowest {max(seen.seconds for seen in [*writes, *reads]) * 1e3:.1f} ms")
    assert not (bad := [str(seen) for seen in reads if seen.status != 200]), bad
    # What went into a connection that was open before may have arrived: nobody can say "try again" to that.
    lost = [seen for seen in writes if seen.reason == "upstream_reset"]
    row.saw(f"{len(lost)} writes went into a connection that had been open: 502")
    assert len(lost) <= 1, [str(seen) for seen in lost]
    refused = [seen for seen in writes if seen.status == 503 and seen.retry_after]
    assert not (bad := [str(seen) for seen in writes if seen not in [*refused, *lost]]), bad
    answers.assert_at_once(REFUSED_SECONDS, scale)
    background.assert_unharmed(row)


@pytest.mark.row(
    6,
    "S3 hangs behind all replicas (SIGSTOP of the store)",
    "sidecars stay ready to say so, memory +64 MiB at most, recover",
)
def test_the_store_hangs(make_cluster: MakeCluster, moto: Moto, scale: Scale, row: Row) -> None:
    timeouts = {"idle": scale.idle, "commit": scale.idle}
    cluster = make_cluster({"timeouts": timeouts}, store=moto.bucket("faults-hang"))
    repositories = [seeded(cluster, owner, "hang", 1)[0] for owner in cluster.members]
    before = {member.id: memory.resident(member.sidecar.process.pid) for member in cluster.members}
    for member in cluster.members:
        memory.reset_peak(member.sidecar.process.pid)
    hung = time.monotonic()
    moto.process.signal(signal.SIGSTOP)
    try:
        clients = [
            client
            for number in range(HANGING_CLIENTS // 6)
            for kind in ("read", "write")
            for client in many(cluster.members, repositories[number % 3], kind)
        ]
        says: list[bool] = []
        while time.monotonic() < hung + scale.frozen_seconds:
            says += [_says_how_it_is(member) for member in cluster.members]
            time.sleep(SLACK_SECONDS)
        end_all(clients)
    finally:
        moto.process.signal(signal.SIGCONT)
    thawed = time.monotonic()
    for repository in repositories:
        wait_until("all to be served again", lambda name=repository: _all_write(cluster, name), PATIENCE_SECONDS)
    back = time.monotonic() - thawed
    seen = [one for client in clients for one in client.begun_after(hung)]
    grown = max(memory.peak(member.sidecar.process.pid) - before[member.id] for member in cluster.members)
    limit = scale.idle_seconds + GRACE_SECONDS + SLACK_SECONDS
    row.saw(f"{len(seen)} requests, slowest {max(one.seconds for one in seen):.2f} s (timeout {scale.idle})")
    row.saw(f"memory +{grown / MIB:.1f} MiB")
    row.saw(f"admin listeners answered {sum(says)} of {len(says)} times")
    row.saw(f"served {back:.2f} s after the thaw; no other repositories: all are behind the store")
    assert all(says)
    assert not (bad := [str(one) for one in seen if not one.status or one.seconds > 2 * limit]), bad
    assert grown <= MEMORY_GROWTH


def _write(member: Member, repository: str) -> Seen:
    return once(member, "PUT", f"/v2/{repository}/manifests/written", OTHER_MANIFEST)


def _all_write(cluster: Cluster, repository: str) -> bool:
    return all(_write(member, repository).status == 201 for member in cluster.members)


def _together(count: int, ask: Callable[[], Seen]) -> list[Seen]:
    gate = threading.Barrier(count)

    def one(_: int) -> Seen:
        gate.wait()
        return ask()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def _wait_for_rejects(member: Member, repository: str) -> None:
    def at_once() -> bool:
        seen = _write(member, repository)
        assert seen.status >= 500, seen
        return seen.seconds < REFUSED_SECONDS

    wait_until("an answer at once", at_once, PATIENCE_SECONDS)


def _says_how_it_is(member: Member) -> bool:
    status = member.sidecar.status()
    return bool(json.dumps(status)) and member.sidecar.metric("shardlet_view_members") == len(LOOPBACK)
