"""Clients that mean harm: slow heads, large heads, floods of HTTP/2 frames, crowds of uploads."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
from conftest import MakeCluster
from harness import load
from harness.attack import Attack, crowd_of_uploads, head_of_upload
from harness.scale import MIB, Scale
from harness.table import Row
from harness.watched import Watched
from lib.client import Registry
from lib.cluster import Cluster, Member

DEADLINE, DEADLINE_SECONDS = "5s", 5.0
DEADLINE_SLACK_SECONDS = 2.0
PATIENCE_SECONDS = 60.0
# What one connection may cost that has not finished its head: buffers of the socket's two directions.
BYTES_PER_CONNECTION = 64 << 10
BASE_GROWTH = 32 * MIB
FLOOD_GROWTH = 64 * MIB
RESETS_PER_SECOND = 10_000
RESETS_EACH = 1000
# A server that cuts a connection early takes only a part of what is sent.
FAST_ENOUGH = 0.35
CONTINUATIONS_EACH = 2000
ENHANCE_YOUR_CALM = 11
PLACES, QUEUE = 16, 64
AT_ONCE_SECONDS = 1.0
# Longer than a wait in the queue: those who are not answered by then have a place.
CROWD_SECONDS = 6.0
# Answers that nobody reads: three connections take 300 of them, with a few bytes of frames.
MUTE_CONNECTIONS, MUTE_STREAMS, MUTE_SECONDS = 3, 100, 6.0
MUTE_GROWTH = 128


@pytest.mark.row(
    12,
    "slowloris connections on all listeners",
    "closed by the deadline, healthy p99 ≤ 2×, memory +32 MiB and 64 KiB for each connection at most",
)
def test_heads_that_never_end(make_cluster: MakeCluster, scale: Scale, row: Row, tmp_path: Path) -> None:
    cluster = make_cluster({"timeouts": {"request_header": DEADLINE}})
    target = cluster.members[0]
    place = target.sidecar.place
    half_a_head = "GET /v2/ HTTP/1.1\r\nHost: slow\r\nX-Slow: "
    drips = {"kind": "drip", "host": place.host, "pause": 1.0, "patience": PATIENCE_SECONDS}
    some = scale.slow_connections // 10
    with load.start(
        cluster, cluster.members, cluster.members, directory=tmp_path, scale=scale
    ) as background, Watched(target) as watched, background.phase("attacked"):
        attacks = {
            "clients": Attack(
                "slow.py", tmp_path, **drips, port=place.clients, first=half_a_head, drips=True, count=scale.slow_connections
            ),
            "admin": Attack("slow.py", tmp_path, **drips, port=place.admin, first=half_a_head, drips=True, count=some),
            # The peer listener waits for a handshake, of which not a byte comes.
            "peers": Attack("slow.py", tmp_path, **drips, port=place.peers, first="", drips=False, count=some),
        }
        done = {name: attack.done(2 * PATIENCE_SECONDS) for name, attack in attacks.items()}
    count = sum(len(connections) for connections in done.values())
    for name, connections in done.items():
        assert not (bad := [one for one in connections if not one.get("closed")]), f"{name}: {bad[:3]}"
        slowest = max(one["seconds"] for one in connections)
        row.saw(f"{name}: {len(connections)} closed after {slowest:.1f} s at most, deadline {DEADLINE}")
        assert slowest <= DEADLINE_SECONDS + DEADLINE_SLACK_SECONDS, name
    statuses = {name: {one["status"] for one in done[name]} for name in ("clients", "admin")}
    seen = "; ".join(f"{name} saw {_words(statuses[name])}" for name in statuses)
    row.saw(f"{seen}; {watched.said(count)}")
    assert statuses["clients"] == {408}
    # The admin listener takes 256 connections, and tells or closes the others.
    assert statuses["admin"] <= {0, 408, 503}
    assert watched.grown <= BASE_GROWTH + count * BYTES_PER_CONNECTION
    background.assert_unharmed(row, "attacked")


@pytest.mark.row(12, "header bombs", "431 and closed, healthy p99 ≤ 2×, memory +32 MiB at most")
@pytest.mark.parametrize("shape", ["many fields", "one large field"])
def test_heads_that_are_too_large(
    make_cluster: MakeCluster, scale: Scale, row: Row, tmp_path: Path, shape: str
) -> None:
    cluster = make_cluster()
    target = cluster.members[0]
    place = target.sidecar.place
    filling = "x: y\r\n" * 200_000 if shape == "many fields" else f"x: {'y' * MIB}\r\n\r\n"
    with load.start(
        cluster, cluster.members, cluster.members, directory=tmp_path, scale=scale
    ) as background, Watched(target) as watched, background.phase("attacked"):
        bombs = {"kind": "bomb", "host": place.host, "filling": filling, "patience": PATIENCE_SECONDS}
        attacks = [
            Attack("slow.py", tmp_path, **bombs, port=port, count=scale.header_bombs)
            for port in (place.clients, place.admin)
        ]
        done = [one for attack in attacks for one in attack.done(2 * PATIENCE_SECONDS)]
    answered = [one for one in done if one["status"] == 431]
    # Whoever still sends when the connection is closed may be told so by a reset, which overtakes the answer.
    reset = [one for one in done if one["status"] == 0]
    row.saw(f"{len(done)} heads of {len(filling) / MIB:.1f} MiB: {len(answered)} saw 431, {len(reset)} a reset")
    row.saw(watched.said(0))
    assert len(answered) + len(reset) == len(done), [one for one in done if one not in answered][:3]
    assert len(answered) >= 0.9 * len(done)
    assert watched.grown <= BASE_GROWTH
    background.assert_unharmed(row, "attacked")


@pytest.mark.row(
    13,
    "rapid reset at 10k/s, CONTINUATION flood",
    "connection closed, healthy p99 ≤ 2×, memory +64 MiB at most",
)
@pytest.mark.parametrize("kind", ["resets", "continuations"])
def test_floods_of_frames(make_cluster: MakeCluster, scale: Scale, row: Row, tmp_path: Path, kind: str) -> None:
    cluster = make_cluster(client_tls=True)
    target = cluster.members[0]
    place = target.sidecar.place
    each = RESETS_EACH if kind == "resets" else CONTINUATIONS_EACH
    with load.start(
        cluster, cluster.members, cluster.members, directory=tmp_path, scale=scale
    ) as background, Watched(target) as watched, background.phase("attacked"):
        attack = Attack(
            "flood.py",
            tmp_path,
            kind=kind,
            host=place.host,
            port=place.clients,
            ca=str(cluster.ca),
            each=each,
            seconds=scale.flood_seconds,
            connections_per_second=RESETS_PER_SECOND / RESETS_EACH,
        )
        done = attack.done(scale.flood_seconds + PATIENCE_SECONDS)
    took = max(one["at"] for one in done)
    frames = sum(one["sent"] for one in done) * each
    codes = sorted({one["goaway"] for one in done})
    row.saw(f"{len(done)} connections, {frames:.0f} {kind} sent, {frames / took:.0f}/s, GOAWAY codes {codes}")
    row.saw(watched.said(0))
    assert all(one["closed"] for one in done), [one for one in done if not one["closed"]][:3]
    assert kind != "resets" or frames / took >= FAST_ENOUGH * RESETS_PER_SECOND, "this machine cannot flood fast enough"
    assert watched.grown <= FLOOD_GROWTH
    background.assert_unharmed(row, "attacked")


@pytest.mark.row(15, "many connections and a full queue", "429 or 503 with Retry-After at once; pulls still served")
@pytest.mark.parametrize("through", ["the owner", "a peer"])
def test_a_crowd_of_uploads(
    make_cluster: MakeCluster, scale: Scale, row: Row, tmp_path: Path, through: str
) -> None:
    queue = {"limit": QUEUE, "timeout": "3s"}
    cluster = make_cluster({"registry": {"max_in_flight": PLACES, "queue": queue}})
    owner, peer, _ = cluster.members
    arrival = owner if through == "the owner" else peer
    repository = cluster.repository_of(owner, "crowd")
    with load.start(
        cluster, [owner], cluster.members, directory=tmp_path, scale=scale, pushes_per_second=0
    ) as background, Watched(owner) as watched, background.phase("crowded"):
        head = head_of_upload(cluster, arrival, repository, MIB) + "x"
        crowd = crowd_of_uploads(arrival, head, tmp_path, patience=CROWD_SECONDS, count=scale.connections)
        done = crowd.done(2 * PATIENCE_SECONDS)
    refused = [one for one in done if one.get("status") in (429, 503)]
    waited = [one for one in done if one not in refused]
    # Through a peer every refused body costs a connection between members, with its handshake.
    limit = AT_ONCE_SECONDS + (scale.handshake_seconds * len(done) if arrival is peer else 0)
    at_once = [one for one in refused if one["seconds"] <= limit]
    row.saw(f"{len(done)} uploads at once: {len(refused)} refused, {len(at_once)} of them within {limit:.1f} s")
    slowest = sorted(one["seconds"] for one in refused)[-QUEUE - PLACES]
    row.saw(f"all but the queue within {slowest:.2f} s")
    row.saw(f"median {statistics.median(one['seconds'] for one in refused) * 1e3:.0f} ms; {watched.said(0)}")
    assert all(one["retry_after"] for one in refused)
    assert len(waited) <= PLACES, waited[:3]
    assert len(at_once) >= len(done) - PLACES - QUEUE, sorted(one["seconds"] for one in refused)[-QUEUE:]
    background.assert_unharmed(row)


@pytest.mark.row(
    15,
    "clients that ask for many more answers than there are places, and read none",
    f"all others are served, reads and writes; memory +{MUTE_GROWTH} MiB at most",
)
@pytest.mark.parametrize("through", ["mute at the owner", "mute at a peer"])
def test_a_crowd_that_does_not_read(
    make_cluster: MakeCluster, scale: Scale, row: Row, tmp_path: Path, through: str
) -> None:
    cluster = make_cluster({"registry": {"max_in_flight": PLACES}}, client_tls=True)
    owner, peer, _ = cluster.members
    arrival = owner if through == "mute at the owner" else peer
    repository = cluster.repository_of(owner, "mute")
    with Registry([owner.sidecar.base], cluster.ca) as registry:
        digest = registry.push_blob(repository, bytes(scale.blob_bytes))
        small = registry.push_blob(repository, b"small")
    place = arrival.sidecar.place
    with load.start(
        cluster, [owner], cluster.members, directory=tmp_path, scale=scale
    ) as background, Watched(arrival) as watched:
        attack = Attack(
            "mute.py",
            tmp_path,
            host=place.host,
            port=place.clients,
            ca=str(cluster.ca),
            large=f"/v2/{repository}/blobs/{digest}",
            small=f"/v2/{repository}/blobs/{small}",
            readers=2 * PLACES,
            windowless=MUTE_CONNECTIONS,
            streams=MUTE_STREAMS,
            seconds=MUTE_SECONDS,
        )
        done = attack.done(2 * PATIENCE_SECONDS)
    answered = {kind: sum(one["answered"] for one in done if one["kind"] == kind) for kind in ("reader", "windowless")}
    row.saw(f"{answered['reader']} answers over HTTP/1 and {answered['windowless']} over HTTP/2 for {PLACES} places")
    row.saw(watched.said(0))
    assert answered == {"reader": 2 * PLACES, "windowless": MUTE_CONNECTIONS * MUTE_STREAMS}
    assert watched.grown <= MUTE_GROWTH * MIB
    background.assert_unharmed(row)


def _words(statuses: set[int]) -> str:
    return ", ".join(str(status) if status else "a close" for status in sorted(statuses))
