"""What is understood by one reader and not by the next, against real registries: messages in messages, and paths."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import MakeCluster
from harness import confusion, load
from harness.confusion import SMUGGLED, Case
from harness.scale import FULL, Scale
from harness.table import Row
from lib.cluster import Member

ROOT = Path(__file__).resolve().parents[2]
CARGO_SECONDS = 1800.0
CLIENTS = 8
# Some wait for the rest of a body that never comes.
STARVED_SECONDS = 1.0


@pytest.mark.row(10, "smuggling corpus", "the replica never sees a second request; 400 and close")
def test_messages_in_messages(make_cluster: MakeCluster, scale: Scale, row: Row, tmp_path: Path) -> None:
    cluster = make_cluster()
    cases = confusion.smuggling()
    assert len(cases) > 50, "the corpus is gone"
    tried = [(case, member) for case in cases for member in cluster.members]

    def attack(one: tuple[Case, Member]) -> bool:
        """Whether it was refused; one that had to be and was not is an error."""
        case, member = one
        must_refuse = case.expected.startswith("400")
        target = f"/v2/{cluster.repository('smuggling')}/manifests/latest"
        patience = confusion.TIMEOUT_SECONDS if must_refuse else STARVED_SECONDS
        answer = confusion.send(member, case.bytes(target), patience)
        if must_refuse:
            assert answer.startswith(b"HTTP/1.1 400 "), f"{case.name}: {answer!r}"
            assert answer.count(b"HTTP/1.1 ") == 1, f"{case.name}: {answer!r}"
        return must_refuse

    with load.start(
        cluster, cluster.members, cluster.members, directory=tmp_path, scale=scale, normal_seconds=1.0
    ) as background, ThreadPoolExecutor(CLIENTS) as pool:
        refused = sum(pool.map(attack, tried))
    seen = [member.id for member in cluster.members if f"/{SMUGGLED}/" in member.replica.log.read_text(errors="replace")]
    row.saw(f"{len(cases)} messages at {len(cluster.members)} members: {refused} times 400 and closed")
    row.saw(f"{len(seen)} replicas saw a second request")
    assert not seen, seen
    background.assert_unharmed(row)


@pytest.mark.row(11, "path corpus and generated paths", "0 differences between hashed and served repository", variant="registry")
def test_paths_at_a_registry(make_cluster: MakeCluster, scale: Scale, row: Row, tmp_path: Path) -> None:
    cluster = make_cluster()

    def ask(numbered: tuple[int, str]) -> None:
        number, path = numbered
        confusion.send(cluster.members[number % len(cluster.members)], confusion.request(path, number))

    with load.start(
        cluster, cluster.members, cluster.members, directory=tmp_path, scale=scale, normal_seconds=1.0
    ) as background, ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(ask, enumerate(confusion.paths(scale.paths))))
    outcomes = confusion.outcomes(cluster).values()
    served = [one for one in outcomes if one.served]
    differing = [one for one in served if one.hashed != one.served]
    row.saw(f"{scale.paths} paths sent to docker-registry, {len(served)} served by it, {len(differing)} differences")
    assert not differing, differing[:5]
    assert len(served) > scale.paths / 50, "nothing came through, so nothing was shown"
    background.assert_unharmed(row)


@pytest.mark.row(11, "path corpus and generated paths", "0 differences between hashed and served repository", variant="models")
def test_paths_at_models_of_registries(scale: Scale, row: Row) -> None:
    profile = ["--release"] if scale is FULL else []
    done = subprocess.run(
        ["cargo", "test", "--locked", *profile, "--test", "path_confusion"],
        cwd=ROOT,
        env=os.environ | {"PROPTEST_CASES": str(scale.generated_paths)},
        capture_output=True,
        text=True,
        timeout=CARGO_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    row.saw(f"{scale.generated_paths:,} generated paths, 0 differences to the models of distribution and zot")
