"""HTTP as real clients speak it: h2, and Expect: 100-continue on a connection that is used again."""

from __future__ import annotations

import json
import random
from pathlib import Path

from lib.client import Registry, digest_of
from lib.cluster import Cluster
from lib.image import MIB
from lib.process import run

BLOB = random.Random(8).randbytes(8 * MIB)
# curl sends the body anyway after this long; an answer that takes less came from a 100.
CONTINUE_SECONDS = 20


def test_push_and_pull_over_h2(tls_cluster: Cluster) -> None:
    for owner in tls_cluster.members:
        repository = tls_cluster.repository_of(owner, "h2")
        with Registry(tls_cluster.bases, tls_cluster.ca, http2=True) as registry:
            manifest = registry.push_image(repository, "v1", [BLOB])
            digest = registry.push_blob(repository, BLOB, chunk=3 * MIB)
            for _ in tls_cluster.members:
                answer = registry.blob(repository, digest)
                assert (answer.http_version, answer.content) == ("HTTP/2", BLOB)
            assert registry.manifest(repository, "v1").content == manifest
        assert tls_cluster.touched(repository) == [owner]


def test_push_and_pull_over_tls_with_http_1(tls_cluster: Cluster) -> None:
    repository = tls_cluster.repository("https")
    with Registry(tls_cluster.bases, tls_cluster.ca) as registry:
        digest = registry.push_blob(repository, BLOB)
        for _ in tls_cluster.members:
            answer = registry.blob(repository, digest)
            assert (answer.http_version, answer.content) == ("HTTP/1.1", BLOB)


def test_curl_uploads_over_h2(tls_cluster: Cluster, tmp_path: Path) -> None:
    owner, arrival, _ = tls_cluster.members
    repository = tls_cluster.repository_of(owner, "curl-h2")
    with Registry([arrival.sidecar.base], tls_cluster.ca) as registry:
        location = registry.start_upload(repository)
    uploaded = _curl(tmp_path, ["--http2", "--cacert", str(tls_cluster.ca)], [location])
    assert [(one["http_version"], one["http_code"]) for one in uploaded] == [("2", 201)]


def test_expect_100_continue_keeps_the_connection(fast_cluster: Cluster, tmp_path: Path) -> None:
    owner = fast_cluster.members[0]
    for arrival in fast_cluster.members:
        repository = fast_cluster.repository_of(owner, "expect")
        with Registry([arrival.sidecar.base]) as registry:
            locations = [arrival.sidecar.base + registry.start_upload(repository) for _ in range(3)]
        wait = ["--expect100-timeout", str(CONTINUE_SECONDS), "--header", "Expect: 100-continue"]
        uploaded = _curl(tmp_path, wait, locations)
        assert [one["http_code"] for one in uploaded] == [201, 201, 201]
        assert [one["num_connects"] for one in uploaded] == [1, 0, 0], f"through {arrival.id}"
        slowest = max(one["time_total"] for one in uploaded)
        assert slowest < CONTINUE_SECONDS, f"no 100 Continue came through {arrival.id}"


def _curl(directory: Path, options: list[str], locations: list[str]) -> list[dict]:
    """PUTs the blob to every location with one curl, and returns curl's own account of each."""
    body = directory / "blob.bin"
    body.write_bytes(BLOB)
    command = ["curl", "--silent", "--show-error", "--noproxy", "*"]
    for number, location in enumerate(locations):
        digest = digest_of(BLOB)
        joint = "&" if "?" in location else "?"
        command += ["--next", "--silent", "--show-error", *options] if number else options
        command += ["--upload-file", str(body), "--output", "/dev/null", "--write-out", "%{json}\n"]
        command += ["--header", "Content-Type: application/octet-stream", f"{location}{joint}digest={digest}"]
    return [json.loads(line) for line in run(command).splitlines()]
