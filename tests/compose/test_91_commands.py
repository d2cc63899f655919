"""The commands of compose/README.md and docs/install.md, word by word, but for what images are called.

Where there is no zot, distribution takes its place in them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import VARIABLES
from harness import images
from harness.engine import Engine
from harness.fleet import COMPOSE, HAPROXY_PORT, LOGIN, MEMBERS, UP_SECONDS
from harness.images import ROOT
from lib import sidecar
from lib.document import commands
from lib.process import attempt, run, wait_until
from lib.replica import Zot
from lib.tools import GO_TOOLS

# As compose/.env has it.
PROJECT = "shardlet"
READY_SECONDS = 90.0
# Something else runs under their names, since their images cannot be had. tests/e2e/test_32_observe.py has a real Prometheus.
STAND_INS = ("prometheus", "grafana")
# docker build takes its arguments from its words alone.
_SHELL = """
docker() {
  case $1 in
    build) command docker "$@" --build-arg RUN_IMAGE=base:test --build-arg "BINARY=$SHARDLET_BINARY_FILE" ;;
    *) command docker "$@" ;;
  esac
}
"""
# What takes the public image of Rust, and compiles for many minutes. Its result is the other target of the same file.
COMPILES = "docker build -f compose/Dockerfile -t shardlet .\n"


class Shell:
    """Runs commands where the engine's published ports are."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        built = images.stripped(Path(sidecar.binary())).relative_to(ROOT)
        registry = {} if Zot.binary() else {"COMPOSE_PROFILES": "distribution"}
        stand_ins = {f"{name.upper()}_IMAGE": "asleep" for name in STAND_INS}
        stand_ins |= {f"{name.upper()}_TAG": "test" for name in STAND_INS}
        self._environment = VARIABLES | registry | stand_ins | {
            "SHARDLET_TARGET": "prebuilt",
            "RUN_IMAGE": "base:test",
            "SHARDLET_BINARY_FILE": str(built),
            "DOCKER_CONFIG": str(GO_TOOLS / "docker"),
            "DOCKER_HOST": engine.host,
            "DOCKER_BUILDKIT": "0",
        }

    def run(self, script: str, folder: Path = COMPOSE) -> str:
        known = script if Zot.binary() else script.replace("zot", "distribution")
        words = self.engine.inside(["bash", "-ec", f"{_SHELL}cd {folder}\n{known}"])
        return run(words, UP_SECONDS, self._environment)

    def wait_healthy(self, members: int = len(MEMBERS)) -> None:
        ours = ("--filter", f"label=com.docker.compose.project={PROJECT}", "--filter", "health=healthy")

        def healthy() -> bool:
            names = self.engine.docker("ps", *ours, "--format", "{{.Names}}").split()
            return sum("shardlet-" in name.removeprefix(PROJECT) for name in names) == members

        wait_until(f"{members} members to be healthy", healthy, READY_SECONDS)

    def status(self, port: int) -> str:
        """000 where nobody answers: a published port is open before its container listens."""
        asked = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--user", LOGIN, f"http://localhost:{port}/v2/"]
        return attempt(self.engine.inside(asked)).stdout

    def left(self) -> list[str]:
        ours = ("--filter", f"label=com.docker.compose.project={PROJECT}")
        kinds = (("ps", "--all"), ("network", "ls"), ("volume", "ls"))
        return [name for kind in kinds for name in self.engine.docker(*kind, "--quiet", *ours).split()]


@pytest.fixture(scope="module")
def shell(stocked: Engine) -> Iterator[Shell]:
    images.build(stocked, "asleep:test", 'FROM tools:test\nENTRYPOINT ["sh", "-c", "sleep 3600"]\n')
    made = Shell(stocked)
    yield made
    made.run("docker compose --profile '*' down -v")


def test_what_the_readme_says_to_try(shell: Shell) -> None:
    listed = re.findall(r"`(docker [^`]+)`", (COMPOSE / "README.md").read_text())
    up, tag, push, pull, owner, kill, start, haproxy, redis, distribution, observe, leased, leave, back, down = listed
    shell.run(up)
    shell.wait_healthy()
    shell.run(tag)
    shell.run(push)
    assert "localhost:5003/team/app" in shell.run(pull)
    said = shell.run(owner)
    assert re.match(r"team/app\tshardlet-[123]\n", said), said
    shell.run(kill)
    assert (shell.status(5001), shell.status(5003)) == ("200", "200")
    shell.run(start)
    shell.wait_healthy()
    shell.run(haproxy)
    wait_until("HAProxy to answer", lambda: shell.status(HAPROXY_PORT) == "200", READY_SECONDS)
    shell.run(observe)
    running = shell.run("docker compose --profile '*' ps --format json")
    assert {json.loads(line)["Service"] for line in running.splitlines()} >= set(STAND_INS)
    shell.run(down)
    assert shell.left() == []
    for profile in (redis, distribution):
        if profile is redis and not Zot.binary():
            continue
        shell.run(profile)
        shell.wait_healthy()
        assert shell.status(5002) == "200"
        shell.run(down)
    shell.run(leased)
    shell.wait_healthy()
    shell.run(leave)
    shell.wait_healthy(2)
    shell.run(back)
    shell.wait_healthy()
    shell.run(down)
    assert shell.left() == []


def test_what_installing_says(shell: Shell) -> None:
    lines = re.sub(r" +#.*$", "", commands("install.md", "Docker Compose and the image"), flags=re.MULTILINE)
    assert lines.count(COMPILES) == 1
    shell.run(lines.replace(COMPILES, ""), ROOT)
    shell.wait_healthy()
    about = json.loads(shell.engine.docker("image", "inspect", "shardlet"))[0]
    assert about["Config"]["User"] == "65532:65532"
