"""docs/troubleshooting.md goes by what clients print: here they print it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lib import image
from lib.certs import Authority
from lib.cluster import Cluster, Shape
from lib.deployed import REPOSITORY
from lib.document import commands
from lib.process import Ports, run
from lib.replica import DockerRegistry
from lib.store import Directory
from lib.tools import TOOLS, Entry, Tool

PAGE = "troubleshooting.md"
ALONE = "A client prints only a status"
DOWN = "the one member that may serve this request is down; try again when it is back"
# What is shown for each that prints nothing of our answer, to a push and to a pull.
PRINTED = {
    "crane": ("unexpected status code 503 Service Unavailable (HEAD responses have no body, use GET for details)", DOWN),
    "oras": ("response status code 503: Service Unavailable", DOWN),
    "regctl": (DOWN, DOWN),
    "skopeo": ("503 (Service Unavailable)", "received unexpected HTTP status: 503 Service Unavailable"),
    "buildah": ("503 (Service Unavailable)", "received unexpected HTTP status: 503 Service Unavailable"),
}


@pytest.fixture
def cluster(authority: Authority, ports: Ports, tmp_path: Path) -> Iterator[Cluster]:
    """One that refuses at once what waits elsewhere."""
    settings = {"writes": {"hold": "0s"}, "reads": {"owner_down": "reject"}}
    shape = Shape(DockerRegistry, Directory(tmp_path / "store"), settings=settings)
    made = Cluster(shape, authority, ports, tmp_path / "cluster")
    made.wait_settled()
    yield made
    made.stop()


def test_what_clients_print_is_on_the_page(cluster: Cluster, tmp_path: Path) -> None:
    owner, arrival, _ = cluster.members
    repository = cluster.repository_of(owner, "trouble")
    layout = image.build(tmp_path / "layout", seed=40, layer_bytes=(1000,))
    tools = [kind(Entry(arrival.sidecar.host), tmp_path / kind.name) for kind in TOOLS]
    for tool in tools:
        tool.prepare(layout)
    tools[0].run(tools[0].push(layout, f"{repository}:v1"))
    owner.sidecar.process.kill()

    def printed(tool: Tool) -> tuple[str, str]:
        """They try again for some seconds, each at its own pace."""
        done = [tool.attempt(words) for words in (
            tool.push(layout, f"{repository}:v2"),
            tool.pull(f"{repository}:v1", tool.home / "pulled"),
        )]
        assert all(one.returncode for one in done)
        return done[0].stdout + done[0].stderr, done[1].stdout + done[1].stderr

    with ThreadPoolExecutor(len(tools)) as pool:
        said = dict(zip((tool.name for tool in tools), pool.map(printed, tools), strict=True))
    page = (REPOSITORY / "docs" / PAGE).read_text()
    for name, texts in PRINTED.items():
        for text, output in zip(texts, said[name], strict=True):
            assert text in output, f"{name}:\n{output}"
            assert re.search(rf"^\| {re.escape(text)} (\(`owner_down`\) )?\|", page, re.MULTILINE), text
    # What is to be asked where nothing is printed.
    asked = commands(PAGE, ALONE)
    assert asked.count("127.0.0.1:5000/v2/team/app/manifests/latest") == 1
    answer = run(["bash", "-c", asked.replace("127.0.0.1:5000/v2/team/app", f"{arrival.sidecar.host}/v2/{repository}")])
    assert DOWN in answer and '"reason":"owner_down"' in answer
