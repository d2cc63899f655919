"""What users of skopeo, buildah, oras and crane notice of restarts, crashes, and of a member in between: nothing."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import HOLDING, Balanced, MakeCluster
from harness import shipped
from harness.scale import MIB, Scale
from harness.table import Row
from lib import image
from lib.image import Layout
from lib.sidecar import merged
from lib.tools import Buildah, Command, Crane, Entry, Oras, Regctl, Skopeo, Tool

EXIT_SECONDS = 60.0
DEAD_SECONDS = 8.0
AFTERWARDS_SECONDS = 2.0
HELD_P99_SECONDS = 5.0
# Several windows of HTTP/2 for each of the clients.
LARGE_LAYERS = (24 * MIB, 64 << 10)

@pytest.mark.row(
    40,
    "rolling restart of all members (SIGTERM) behind HAProxy; skopeo, buildah, oras and crane push and pull as shipped",
    "0 failed pushes, 0 failed pulls, 0 lost tags; p99 of a push ≤ 5 s",
)
def test_restarts_under_real_clients(
    make_cluster: MakeCluster, balanced: Balanced, layout: Layout, scale: Scale, row: Row, tmp_path: Path
) -> None:
    # Longer than HAProxy's checks take to see it.
    cluster = make_cluster(merged(HOLDING, {"timeouts": {"drain_delay": "2s"}}))
    haproxy = balanced([member.sidecar.place for member in cluster.members], 3)
    ended = []
    with shipped.start(cluster, Entry(haproxy.host), layout, tmp_path / "clients") as work:
        for _ in range(scale.restarts):
            for member in cluster.members:
                member.sidecar.process.signal(signal.SIGTERM)
                ended.append(member.sidecar.process.wait(EXIT_SECONDS))
                member.sidecar.start_again()
                member.sidecar.wait_ready()
                haproxy.wait_up(len(cluster.members))
    work.tell(row)
    row.saw(f"{len(ended)} restarts")
    assert set(ended) == {0}, f"exit codes {ended}"
    work.assert_unseen()
    assert work.push_seconds(99) <= HELD_P99_SECONDS, sorted(run.seconds for run in work.runs("push"))[-5:]


@pytest.mark.row(
    41,
    "SIGKILL of an owner's sidecar behind HAProxy, which is started again after 8 s; the same clients push and pull",
    "no push or pull fails that was begun after the death; a push that was under way succeeds when run again; 0 lost tags",
)
def test_a_crash_under_real_clients(
    make_cluster: MakeCluster, balanced: Balanced, layout: Layout, row: Row, tmp_path: Path
) -> None:
    cluster = make_cluster(HOLDING)
    haproxy = balanced([member.sidecar.place for member in cluster.members], 3)
    owner = cluster.members[0]
    with shipped.start(cluster, Entry(haproxy.host), layout, tmp_path / "clients") as work:
        died = time.monotonic()
        owner.sidecar.process.kill()
        time.sleep(DEAD_SECONDS)
        owner.sidecar.start_again()
        owner.sidecar.wait_ready()
        haproxy.wait_up(len(cluster.members))
        time.sleep(AFTERWARDS_SECONDS)
    work.conclude_death(row, died)


@pytest.mark.row(
    42,
    "crane validate and export, oras, regctl, skopeo and buildah pull again and again over TLS, most of them by HTTP/2",
    "0 failures, 0 connections cut as abuse",
)
@pytest.mark.parametrize("through", ["the owner", "a peer"])
def test_downloads_by_real_clients(
    make_cluster: MakeCluster, scale: Scale, row: Row, tmp_path: Path, through: str
) -> None:
    cluster = make_cluster(client_tls=True)
    owner, peer, _ = cluster.members
    arrival = owner if through == "the owner" else peer
    entry = Entry(arrival.sidecar.host, cluster.ca)
    # Unpacked in steps of 4 KiB, each of which tells the server of the room that there is again.
    large = image.build(tmp_path / "layout", seed=32, layer_bytes=LARGE_LAYERS, shrinks=True)
    name = f"{cluster.repository_of(owner, 'downloads')}:v1"
    crane = Crane(entry, tmp_path / "crane")
    crane.run(crane.push(large, name))
    pulls: list[tuple[Tool, Callable[[Path], Command]]] = [
        (crane, lambda out: crane.validate(name)),  # noqa: ARG005
        (crane, lambda out: crane.export(name, out)),
    ]
    for kind in (Oras, Regctl, Skopeo, Buildah):
        tool = kind(entry, tmp_path / kind.name)
        pulls.append((tool, lambda out, tool=tool: tool.pull(name, out)))
    runs, out = [], tmp_path / "out"
    for tool, command in pulls * scale.downloads:
        runs.append(shipped.carry_out(tool, "pull", name, command(out)))
        _remove(out)
    failed = [run for run in runs if run.code]
    abuse = [line for line in arrival.sidecar.process.text().splitlines() if "abuse" in line]
    slowest = max(run.seconds for run in runs)
    row.saw(f"{len(failed)} of {len(runs)} failed, {len(abuse)} lines on abuse in the log, slowest {slowest:.2f} s")
    assert not failed, [str(run) for run in failed]
    assert not abuse, abuse[:3]


def _remove(path: Path) -> None:
    """A file or a folder; none where a pull has failed early."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
