"""docs/balancers.md: its samples, as they stand there, before real sidecars. Only names and ports are put in."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from lib import document, image
from lib.balancers import Balancer, haproxy, nginx
from lib.certs import Authority
from lib.client import OCI_MANIFEST, digest_of
from lib.cluster import Cluster, Member, Shape
from lib.deployed import DEPLOY, REPOSITORY
from lib.image import MIB
from lib.process import Ports, run, wait_until
from lib.replica import DockerRegistry
from lib.store import Directory

DOCUMENT = "balancers.md"
PULLS = 12
LOG_SECONDS = 10.0
# Who comes to the balancer; it comes to the sidecars from 127.0.0.1.
CLIENT = "127.0.0.99"
FORGED = "6.6.6.6"

Start = Callable[[str, list[tuple[str, int]], Ports, Path], Balancer]


@pytest.fixture(scope="module")
def fronted(authority: Authority, ports: Ports, run_dir: Path) -> Iterator[Cluster]:
    """With absolute Locations, so that scheme and host that the balancer tells matter."""
    settings = {"trusted_proxies": ["127.0.0.1"], "writes": {"hold": "2s"}}
    store = Directory(run_dir / "fronted-store")
    cluster = Cluster(
        Shape(DockerRegistry, store, relative_urls=False, settings=settings), authority, ports, run_dir / "fronted"
    )
    cluster.wait_settled()
    yield cluster
    cluster.stop()


@pytest.mark.parametrize(
    ("section", "start", "introduced"),
    [
        ("HAProxy, passing connections on", haproxy, True),
        ("HAProxy, speaking HTTP", haproxy, False),
        ("nginx", nginx, False),
    ],
)
def test_a_sample_carries_pushes_and_pulls(
    section: str, start: Start, introduced: bool, fronted: Cluster, ports: Ports, tmp_path: Path
) -> None:
    for member in fronted.members:
        member.sidecar.configure({"listen": {"clients": {"proxy_protocol": introduced}}})
        assert member.sidecar.reload().taken
    sample = document.block(DOCUMENT, section, start.__name__)
    servers = [(member.sidecar.place.host, member.sidecar.place.clients) for member in fronted.members]
    sample = sample.replace("port 9900", f"port {fronted.members[0].sidecar.place.admin}")
    balancer = start(sample, servers, ports, tmp_path)
    try:
        _carries(balancer.host, fronted, tmp_path)
    finally:
        balancer.process.stop()


def _carries(host: str, cluster: Cluster, folder: Path) -> None:
    repository = cluster.repository("fronted")
    pushed = image.build(folder / "pushed", seed=36, layer_bytes=(3 * MIB, 64 << 10))
    image.push(pushed, f"{host}/{repository}:v1")
    image.pull(f"{host}/{repository}:v1", folder / "pulled").assert_same(pushed)
    owner = cluster.owner(repository)
    assert cluster.touched(repository) == [owner]

    manifest = f"http://{host}/v2/{repository}/manifests/v1"
    first = _get(manifest)
    wait_until("the client's address to arrive", lambda: CLIENT in _clients(owner), LOG_SECONDS)
    assert FORGED not in _clients(owner)

    owner.sidecar.process.kill()
    for _ in range(PULLS):
        answer = _get(manifest)
        assert (answer.status_code, digest_of(answer.content)) == (200, digest_of(first.content)), answer.text
    image.pull(f"{host}/{repository}:v1", folder / "after").assert_same(pushed)
    owner.sidecar.start_again()
    cluster.wait_settled()


def _clients(member: Member) -> set[str]:
    """Who asked, as the registry has it."""
    return set(re.findall(r'remoteaddr="?([0-9a-f.:]+)', member.replica.log.read_text()))


def _get(url: str) -> httpx.Response:
    """From an address of its own, on a new connection."""
    transport = httpx.HTTPTransport(local_address=CLIENT)
    # A word of its own about itself, which must not count.
    headers = {"X-Forwarded-For": FORGED, "X-Forwarded-Proto": "https", "Accept": OCI_MANIFEST}
    with httpx.Client(transport=transport, trust_env=False, timeout=60) as client:
        return client.get(url, headers=headers)


def test_the_envoy_sample_is_of_a_piece() -> None:
    envoy = yaml.safe_load(document.block(DOCUMENT, "Envoy", "yaml"))["static_resources"]
    (listener,), (cluster,) = envoy["listeners"], envoy["clusters"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    (host,) = manager["route_config"]["virtual_hosts"]
    route = host["routes"][0]["route"]
    assert (route["cluster"], route["timeout"]) == (cluster["name"], "0s")
    assert cluster["load_assignment"]["cluster_name"] == cluster["name"]
    endpoints = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert [end["endpoint"]["health_check_config"]["port_value"] for end in endpoints] == [9900] * 3


def test_the_ingress_sample_is_valid(tmp_path: Path) -> None:
    text = document.block(DOCUMENT, "Kubernetes", "yaml")
    (tmp_path / "ingress.yaml").write_text(text)
    run([sys.executable, "-m", "kubernetes_validate", "--strict", "-k", "1.37", tmp_path / "ingress.yaml"])
    service = yaml.safe_load(text)["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    services = yaml.safe_load_all((DEPLOY / "kubernetes" / "base" / "services.yaml").read_text())
    ports = {item["metadata"]["name"]: [port["name"] for port in item["spec"]["ports"]] for item in services}
    assert service["port"]["name"] in ports[service["name"]]


def test_limits_of_silence_are_longer_than_a_commit() -> None:
    text = (REPOSITORY / "docs" / DOCUMENT).read_text()
    commit = 5 * 60
    limits = r"(?:timeout (?:client|server) +|(?:proxy_read|proxy_send|client_body|send)_timeout )"
    minutes = re.findall(rf"{limits}(\d+)m", text)
    seconds = re.findall(r"(?:stream_idle_timeout: |proxy-(?:read|send)-timeout: \")(\d+)", text)
    assert (len(minutes), len(seconds)) == (8, 3)
    assert all(60 * int(limit) > commit for limit in minutes)
    assert all(int(limit) > commit for limit in seconds)
