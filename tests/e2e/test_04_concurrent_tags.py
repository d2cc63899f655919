"""Many tags of one repository at once, through all members: what two writers of one index would lose."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from lib.client import Registry, manifest_of
from lib.cluster import Cluster

TAGS = 200
AT_ONCE = 16


def test_no_tag_is_lost(cluster: Cluster, figures: list[str]) -> None:
    repository = cluster.repository("concurrent")
    names = sorted(f"tag-{number}" for number in range(TAGS))
    # The blobs are there already, so that what runs at once is the writing of the index.
    config, layer = b"{}", b"layer"
    with Registry(cluster.bases) as registry:
        for blob in (config, layer):
            registry.push_blob(repository, blob)
    started = time.monotonic()

    def push(numbered: tuple[int, str]) -> None:
        number, name = numbered
        with Registry([cluster.bases[number % len(cluster.bases)]]) as registry:
            manifest = manifest_of(config, [layer], annotations={"test.tag": name})
            registry.push_manifest(repository, name, manifest)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(push, enumerate(names)))
    figures.append(
        f"{cluster.shape.kind.kind}: {TAGS} tags of one repository, {AT_ONCE} at once through "
        f"{len(cluster.members)} members, in {time.monotonic() - started:.1f} s"
    )

    with Registry(cluster.bases) as registry:
        for _ in cluster.members:
            assert registry.tags(repository) == names
        for name in names:
            assert registry.manifest(repository, name, method="HEAD").status_code == 200
    assert cluster.touched(repository) == [cluster.owner(repository)]
