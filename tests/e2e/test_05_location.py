"""Location names what the client asked for: its own host and scheme, and nothing that the client could forge."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from lib.client import Registry
from lib.cluster import PUBLIC_NAME, Cluster

FORGED = {
    "zot hop count": {"X-Zot-Cluster-Hop-Count": "1"},
    "Forwarded": {"Forwarded": "for=10.9.9.9;host=forged.test;proto=https"},
    "X-Forwarded": {
        "X-Forwarded-For": "10.9.9.9",
        "X-Forwarded-Host": "forged.test",
        "X-Forwarded-Proto": "https, http",
        "X-Forwarded-Port": "1",
    },
    "internal": {
        "X-Shardlet-Hop": "1",
        "X-Shardlet-View": "0" * 32,
        "X-Shardlet-Owner": "member-1",
        "X-Shardlet-Arrival": "peer",
    },
    "hidden by Connection": {"Connection": "close, x-shardlet-view, x-shardlet-member"},
}


def test_relative_location_stays_relative(cluster: Cluster) -> None:
    repository = cluster.repository("relative")
    for base in cluster.bases:
        with Registry([base]) as registry:
            location = registry.start_upload(repository)
        assert location.startswith(f"/v2/{repository}/blobs/uploads/"), location


@pytest.mark.parametrize("name", [None, PUBLIC_NAME, f"{PUBLIC_NAME}:8443"])
def test_absolute_location_names_the_clients_host_and_scheme(absolute_cluster: Cluster, name: str | None) -> None:
    _assert_names_the_client(absolute_cluster, "http", name)


@pytest.mark.parametrize("name", [None, PUBLIC_NAME, f"{PUBLIC_NAME}:8443"])
def test_absolute_location_behind_tls(tls_cluster: Cluster, name: str | None) -> None:
    _assert_names_the_client(tls_cluster, "https", name)


@pytest.mark.parametrize("name", [None, PUBLIC_NAME])
def test_absolute_location_over_h2(tls_cluster: Cluster, name: str | None) -> None:
    _assert_names_the_client(tls_cluster, "https", name, http2=True)


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
def test_forged_headers_change_neither_owner_nor_location(absolute_cluster: Cluster, forged: dict[str, str]) -> None:
    for owner in absolute_cluster.members:
        repository = absolute_cluster.repository_of(owner, "forged")
        for member in absolute_cluster.members:
            with Registry([member.sidecar.base]) as registry:
                target = f"/v2/{repository}/blobs/uploads/"
                location = registry.expect(202, "POST", target, headers=forged).headers["location"]
            assert location.startswith(f"{member.sidecar.base}/v2/{repository}/"), location
        assert absolute_cluster.touched(repository) == [owner]


def _assert_names_the_client(cluster: Cluster, scheme: str, name: str | None, *, http2: bool = False) -> None:
    for owner in cluster.members:
        repository = cluster.repository_of(owner, "absolute")
        for member in cluster.members:
            with Registry([member.sidecar.base], cluster.ca, http2=http2) as registry:
                headers = {"Host": name} if name else {}
                answer = registry.expect(202, "POST", f"/v2/{repository}/blobs/uploads/", headers=headers)
                location = urlsplit(answer.headers["location"])
                assert (location.scheme, location.netloc) == (scheme, name or member.sidecar.host)
                # And what it names is where the upload goes on.
                registry.expect(204, "GET", answer.headers["location"], headers=headers)
