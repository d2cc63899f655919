"""Clients as they are shipped: over plain HTTP and over TLS, through the owner and through another member."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lib import image
from lib.client import Registry, digest_of
from lib.cluster import Cluster, Member
from lib.image import MIB, Layout
from lib.tools import BROWSING, LISTING, TOOLS, BrowsingTool, Crane, Entry, ListingTool, Tool

LAYERS = (64 << 10, 3 * MIB, 1)
# Several windows of HTTP/2, which is how much of an answer a client has not yet asked for.
LARGE_LAYERS = (24 * MIB, 64 << 10)
TAGS = ["v1", "v2", "v3"]

THROUGH = pytest.mark.parametrize("through", ["the owner", "a peer"])


def every(kinds: list[type[Tool]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kind", kinds, ids=lambda kind: kind.name)


@pytest.fixture(scope="session")
def layout(run_dir: Path) -> Layout:
    return image.build(run_dir / "tools-layout", seed=21, layer_bytes=LAYERS)


@THROUGH
@every(TOOLS)
def test_push_and_pull(wired_cluster: Cluster, layout: Layout, tmp_path: Path, kind: type[Tool], through: str) -> None:
    cluster = wired_cluster
    owner, arrival = _owner_and_arrival(cluster, through)
    repository = cluster.repository_of(owner, kind.name)
    tool = kind(entry(cluster, arrival), tmp_path / "home")
    tool.prepare(layout)
    tool.run(tool.push(layout, f"{repository}:v1"))
    _assert_pushed(cluster, tool, repository, layout)
    tool.run(tool.pull(f"{repository}:v1", tmp_path / "pulled"))
    tool.assert_pulled(tmp_path / "pulled", layout)
    assert cluster.touched(repository) == [owner]


@every(LISTING)
def test_copy_within_the_registry(
    wired_cluster: Cluster, layout: Layout, tmp_path: Path, kind: type[ListingTool]
) -> None:
    """From a repository of one owner to one of another, through a third member."""
    cluster = wired_cluster
    source, target, arrival = cluster.members
    original, copied = (cluster.repository_of(owner, f"{kind.name}-copy") for owner in (source, target))
    tool = kind(entry(cluster, arrival), tmp_path / "home")
    tool.run(tool.push(layout, f"{original}:v1"))
    tool.run(tool.copy(f"{original}:v1", f"{copied}:v1"))
    _assert_pushed(cluster, tool, copied, layout)
    assert (cluster.touched(original), cluster.touched(copied)) == ([source], [target])


@THROUGH
@every(LISTING)
def test_tags_are_listed(
    wired_cluster: Cluster, layout: Layout, tmp_path: Path, kind: type[ListingTool], through: str
) -> None:
    owner, arrival = _owner_and_arrival(wired_cluster, through)
    repository = wired_cluster.repository_of(owner, f"{kind.name}-tags")
    tool = kind(entry(wired_cluster, arrival), tmp_path / "home")
    for tag in TAGS:
        tool.run(tool.push(layout, f"{repository}:{tag}"))
    assert sorted(tool.listed(tool.run(tool.tags(repository)))) == TAGS


@every(BROWSING)
def test_repositories_are_listed_by_every_member(
    wired_cluster: Cluster, layout: Layout, tmp_path: Path, kind: type[BrowsingTool]
) -> None:
    pushed = set()
    for member in wired_cluster.members:
        repository = wired_cluster.repository_of(member, f"{kind.name}-listed")
        tool = kind(entry(wired_cluster, member), tmp_path / member.id)
        tool.run(tool.push(layout, f"{repository}:v1"))
        pushed.add(repository)
    for member in wired_cluster.members:
        tool = kind(entry(wired_cluster, member), tmp_path / member.id)
        assert pushed <= set(tool.listed(tool.run(tool.repositories()))), f"by {member.id}"


@THROUGH
def test_crane_validates_and_exports(wired_cluster: Cluster, tmp_path: Path, through: str) -> None:
    owner, arrival = _owner_and_arrival(wired_cluster, through)
    repository = wired_cluster.repository_of(owner, "validate")
    # Unpacked in steps of 4 KiB, each of which tells the server of the room that there is again.
    large = image.build(tmp_path / "large", seed=22, layer_bytes=LARGE_LAYERS, shrinks=True)
    crane = Crane(entry(wired_cluster, arrival), tmp_path / "home")
    crane.run(crane.push(large, f"{repository}:v1"))
    assert "PASS" in crane.run(crane.validate(f"{repository}:v1"))
    crane.run(crane.export(f"{repository}:v1", tmp_path / "files"))
    assert sorted((tmp_path / "files").read_text().split()) == ["layer-0.bin", "layer-1.bin"]


def test_go_speaks_http_2_where_there_is_tls(tls_cluster: Cluster, layout: Layout, tmp_path: Path) -> None:
    """Without this, the tests above over TLS would say nothing of HTTP/2."""
    member = tls_cluster.members[0]
    repository = tls_cluster.repository_of(member, "protocol")
    for kind in BROWSING:
        tool = kind(entry(tls_cluster, member), tmp_path / kind.name)
        tool.environment["GODEBUG"] = "http2debug=1"
        done = tool.attempt(tool.push(layout, f"{repository}:{kind.name}"))
        assert done.returncode == 0 and "http2: Transport" in done.stderr, f"{kind.name}: {done.stderr[:2000]}"


def entry(cluster: Cluster, member: Member) -> Entry:
    return Entry(member.sidecar.host, cluster.ca)


def _owner_and_arrival(cluster: Cluster, through: str) -> tuple[Member, Member]:
    owner, peer, _ = cluster.members
    return owner, owner if through == "the owner" else peer


def _assert_pushed(cluster: Cluster, tool: Tool, repository: str, layout: Layout) -> None:
    """Read by another client, through every member in turn."""
    with Registry(cluster.bases, cluster.ca) as registry:
        manifest = registry.manifest(repository, "v1").content
        named = [layer["digest"] for layer in json.loads(manifest)["layers"]]
        layers = [registry.blob(repository, digest).content for digest in named]
    assert [digest_of(layer) for layer in layers] == named
    layout.assert_same_files(manifest, layers)
    assert tool.recompresses or manifest == layout.manifest
