"""What operators do while clients work: restarts of every member, reloads of good and of broken files."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import HOLDING, MakeCluster
from harness import load
from harness.scale import Scale
from harness.table import Row
from lib.client import Registry
from lib.cluster import Cluster
from lib.process import attempt, wait_until
from lib.sidecar import Sidecar, binary, merged

EXIT_SECONDS = 60.0
PATIENCE_SECONDS = 30.0
LAST_RELOAD_OK = "shardlet_config_last_reload_ok"


@pytest.mark.row(
    8,
    "rolling restart of all members (SIGTERM), pushes and pulls running",
    "0 failed pulls, 0 failed pushes; 0 lost tags",
)
@pytest.mark.parametrize("drain_delay", ["0s", "2s"])
def test_all_members_are_restarted_one_after_the_other(
    make_cluster: MakeCluster, scale: Scale, row: Row, tmp_path: Path, drain_delay: str
) -> None:
    cluster = make_cluster(merged(HOLDING, {"timeouts": {"drain_delay": drain_delay}}))
    ended = []
    with load.start(
        cluster,
        cluster.members,
        cluster.members,
        directory=tmp_path,
        scale=scale,
        normal_seconds=1.0,
        pushes_per_second=20.0,
        fails_over=True,
        new_tags=True,
    ) as background, background.phase("restarts"):
        for _ in range(scale.restarts):
            for member in cluster.members:
                began = time.monotonic()
                member.sidecar.process.signal(signal.SIGTERM)
                ended.append(member.sidecar.process.wait(EXIT_SECONDS))
                row.saw(f"{member.id} down after {time.monotonic() - began:.2f} s") if scale.restarts == 1 else None
                member.sidecar.start_again()
                member.sidecar.wait_ready()
    pulls, pushes = background.done("pull"), background.done("push")
    failed_pulls = [one for one in pulls if one.failure]
    failed = [one for one in pushes if one.failure]
    pushed = {one.tag for one in pushes if not one.failure}
    lost = sorted(pushed - _tags(cluster, pushed))
    row.saw(f"{len(ended)} restarts; {len(failed_pulls)} of {len(pulls)} pulls failed")
    row.saw(f"{len(failed)} of {len(pushes)} pushes failed")
    row.saw(f"{len(lost)} of {len(pushed)} tags lost; p99 of pulls {background.p99('restarts') * 1e3:.0f} ms")
    assert set(ended) == {0}, f"exit codes {ended}"
    assert not failed_pulls, failed_pulls[:5]
    assert not failed, failed[:5]
    assert not lost, lost


@pytest.mark.row(
    14,
    "reload with a broken file, then a good one, under load",
    "0 failed requests; the broken one is reported, with its line",
)
@pytest.mark.parametrize("by", ["SIGHUP", "shardlet reload", "POST /api/v1/reload", "watch"])
def test_files_are_reloaded(make_cluster: MakeCluster, scale: Scale, row: Row, tmp_path: Path, by: str) -> None:
    cluster = make_cluster(merged(HOLDING, {"reload": {"watch": by == "watch"}}))
    first, *others = cluster.members
    moved = cluster.repository_of(first, "moved")
    to = others[0]
    good = {"cluster": {"pins": [{"prefix": moved, "member": to.id}]}, "limits": {"header_count": 50}}
    ask = ASKING[by]
    times: list[float] = []
    # A watch looks once a second, and waits until the file has stood still.
    turns = -(-scale.reloads // 3) if by == "watch" else scale.reloads
    with load.start(
        cluster, cluster.members, cluster.members, directory=tmp_path, scale=scale, normal_seconds=1.0
    ) as background:
        for turn in range(turns):
            before = {member.id: member.sidecar.fingerprint() for member in cluster.members}
            for member in cluster.members:
                line, problem = _break(member.sidecar)
                said = ask(member.sidecar)
                wait_until(
                    "the broken file to be reported",
                    lambda member=member, said=said, line=line: f":{line}:" in said + member.sidecar.process.text(),
                    PATIENCE_SECONDS,
                )
                assert problem in said + member.sidecar.process.text()
                wait_until(
                    "the metrics to say so",
                    lambda member=member: member.sidecar.metric(LAST_RELOAD_OK) == 0,
                    PATIENCE_SECONDS,
                )
            assert {member.id: member.sidecar.fingerprint() for member in cluster.members} == before
            for member in cluster.members:
                began = time.monotonic()
                member.sidecar.configure({} if turn % 2 else good)
                ask(member.sidecar)
                wait_until(
                    "the good file to be in force",
                    lambda member=member: member.sidecar.fingerprint() != before[member.id],
                    PATIENCE_SECONDS,
                )
                times.append(time.monotonic() - began)
        with Registry(cluster.bases) as registry:
            wait_until("the view to be everybody's", lambda: _pushes(registry, moved), PATIENCE_SECONDS)
    expected = to if turns % 2 else first
    row.saw(f"{len(times)} broken and {len(times)} good files, in force after {max(times):.2f} s at most")
    background.assert_unharmed(row)
    assert cluster.touched(moved)[-1:] == [expected]


def _break(sidecar: Sidecar) -> tuple[int, str]:
    """Adds a key that nobody knows; returns its line, and a word of the problem."""
    text = sidecar.config.read_text()
    lines = len(text.splitlines())
    sidecar.config.write_text(f"{text}pears: 1\n")
    return lines + 1, "pears"


def _by_signal(sidecar: Sidecar) -> str:
    sidecar.process.signal(signal.SIGHUP)
    return ""


def _by_command(sidecar: Sidecar) -> str:
    done = attempt([binary(), "reload", "--socket", str(sidecar.socket)])
    return done.stdout + done.stderr


def _by_api(sidecar: Sidecar) -> str:
    reload = "http://localhost/api/v1/reload"
    done = attempt(["curl", "--silent", "--max-time", "30", "--unix-socket", str(sidecar.socket), "-X", "POST", reload])
    return done.stdout + done.stderr


def _by_watch(_: Sidecar) -> str:
    return ""


ASKING: dict[str, Callable[[Sidecar], str]] = {
    "SIGHUP": _by_signal,
    "shardlet reload": _by_command,
    "POST /api/v1/reload": _by_api,
    "watch": _by_watch,
}


def _pushes(registry: Registry, repository: str) -> bool:
    return all(registry.send("POST", f"/v2/{repository}/blobs/uploads/").status_code == 202 for _ in range(3))


def _tags(cluster: Cluster, pushed: set[str]) -> set[str]:
    """Every tag of the repositories that were pushed to, as `repository:tag`."""
    found = set()
    with Registry(cluster.bases) as registry:
        for repository in {tag.rpartition(":")[0] for tag in pushed}:
            found |= {f"{repository}:{tag}" for tag in registry.tags(repository)}
    return found
