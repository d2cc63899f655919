"""Real HTTP/2 clients that read slowly, in small steps and in bursts: none of them is taken for an attacker.

Each reads through the owner of the repository and through another member.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from lib.client import Registry, digest_of
from lib.cluster import Cluster, Member
from lib.process import run

MIB = 1 << 20
BLOB = random.Random(11).randbytes(16 * MIB)
READ_SECONDS = 120.0
# One after the other, on one connection.
TIMES = 3
ABUSE = 'shardlet_connections_refused_total{listener="clients",reason="abuse"}'


@dataclass(frozen=True)
class Pushed:
    """A blob, and the members it is read through."""

    digest: str
    urls: list[str]
    ca: Path


@pytest.fixture(scope="module")
def pushed(tls_cluster: Cluster) -> Iterator[Pushed]:
    owner, other, _ = tls_cluster.members
    repository = tls_cluster.repository_of(owner, "h2-clients")
    with Registry([owner.sidecar.base], tls_cluster.ca) as registry:
        digest = registry.push_blob(repository, BLOB)
    assert tls_cluster.ca
    urls = [f"{member.sidecar.base}/v2/{repository}/blobs/{digest}" for member in (owner, other)]
    before = [_cut(member) for member in tls_cluster.members]
    yield Pushed(digest, urls, tls_cluster.ca)
    assert [_cut(member) for member in tls_cluster.members] == before, "a client was taken for an attacker"


@pytest.fixture(scope="module")
def go_client(run_dir: Path) -> Path:
    """A program of our own over Go's standard library, of which crane, oras and regctl are made as well."""
    source = Path(__file__).parent / "clients" / "reader.go"
    built = run_dir / "h2-reader"
    run(["go", "build", "-o", built, source], env={"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"})
    return built


@pytest.mark.parametrize(
    "reading",
    [
        ["-step", "512"],
        ["-step", "4096"],
        ["-step", str(MIB)],
        # The window of 4 MiB fills up meanwhile, and is read at once then.
        ["-step", "4096", "-burst", str(4 * MIB), "-pause", "300ms"],
        ["-step", "4096", "-burst", "65536", "-pause", "5ms"],
    ],
    ids=["512 bytes", "4 KiB", "1 MiB", "bursts", "slow"],
)
def test_go(pushed: Pushed, go_client: Path, reading: list[str]) -> None:
    for url in pushed.urls:
        said = run([go_client, "-ca", pushed.ca, *reading, *[url] * TIMES], timeout=READ_SECONDS)
        reads = [json.loads(line) for line in said.splitlines()]
        assert reads == [{"proto": "HTTP/2.0", "status": 200, "digest": pushed.digest}] * TIMES


@pytest.mark.parametrize("reading", [[], ["--limit-rate", "8M"], ["--no-buffer"]], ids=["fast", "slow", "small"])
def test_curl(pushed: Pushed, tmp_path: Path, reading: list[str]) -> None:
    for number, url in enumerate(pushed.urls):
        out = tmp_path / f"{number}.bin"
        told = "%{http_version} %{http_code}"
        command = ["curl", "--http2", "--silent", "--show-error", "--noproxy", "*", "--cacert", pushed.ca, *reading]
        assert run([*command, "--output", out, "--write-out", told, url], timeout=READ_SECONDS) == "2 200"
        assert digest_of(out.read_bytes()) == pushed.digest


@pytest.mark.parametrize(
    ("step", "burst", "pause"),
    [(512, 0, 0.0), (MIB, 0, 0.0), (4096, 4 * MIB, 0.3), (4096, MIB, 0.05)],
    ids=["small", "large", "bursts", "slow"],
)
def test_httpx(pushed: Pushed, step: int, burst: int, pause: float) -> None:
    trust = ssl.create_default_context(cafile=str(pushed.ca))
    with httpx.Client(verify=trust, http1=False, http2=True, timeout=READ_SECONDS, trust_env=False) as client:
        for url in pushed.urls:
            with client.stream("GET", url) as answer:
                assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
                read, since = hashlib.sha256(), 0
                for piece in answer.iter_bytes(step):
                    read.update(piece)
                    since += len(piece)
                    if burst and since >= burst:
                        time.sleep(pause)
                        since = 0
            assert f"sha256:{read.hexdigest()}" == pushed.digest


@pytest.mark.parametrize(
    "windows", [[], ["-w", "12", "-W", "12"], ["-w", "16", "-W", "20"]], ids=["default", "4 KiB", "64 KiB"]
)
def test_h2load(pushed: Pushed, windows: list[str]) -> None:
    for url in pushed.urls:
        said = run(["h2load", "-n", "8", "-c", "2", "-m", "4", *windows, url], timeout=READ_SECONDS)
        counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", said)
        assert counts and counts.groups() == ("8", "0", "0", "0"), said
        assert "Application protocol: h2" in said, said


def test_h2load_of_small_answers(pushed: Pushed) -> None:
    """Thousands of requests on a connection, each with the frames that a client sends around it."""
    for url in pushed.urls:
        base = url.partition("/v2/")[0]
        said = run(["h2load", "-n", "3000", "-c", "2", "-m", "32", f"{base}/v2/"], timeout=READ_SECONDS)
        assert "3000 succeeded, 0 failed, 0 errored, 0 timeout" in said, said


def _cut(member: Member) -> float:
    return member.sidecar.metric(ABUSE)
