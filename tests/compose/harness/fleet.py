"""The fleet of compose/compose.yaml, the very file, with variables for what cannot be had here."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from lib.image import Layout, pulling, pushing
from lib.process import run, wait_until
from lib.sidecar import Settings, merged
from lib.tools import GO_TOOLS

from .engine import Engine
from .images import ROOT

COMPOSE = ROOT / "compose"
PROJECT = "shardlet-test"
MEMBERS = ("shardlet-1", "shardlet-2", "shardlet-3")
# On the engine's own network, where nothing else listens.
PORTS = {"shardlet-1": 5001, "shardlet-2": 5002, "shardlet-3": 5003}
HAPROXY_PORT = 5000
# Of the first member.
ADMIN_PORT = 9901
# Profile → what its replicas are called.
REPLICAS = {"distribution": "distribution", "zot": "zot", "redis": "zot-redis"}
# Of compose/htpasswd. A registry that wants to know nobody does not look at it.
LOGIN = "demo:demo"
# What a client is given that can resolve the name of all three.
NAME = "registry:5000"
HOLD_SECONDS = 3.0
# Over compose/proxy.yaml: what a test would wait for.
SHORTER = {
    "writes": {"hold": f"{HOLD_SECONDS:.0f}s"},
    "timeouts": {"aftermath": "3s", "drain_delay": "1s"},
    "resolve": {"interval": "1s"},
}
READY_SECONDS = 60.0
UP_SECONDS = 240.0
OWNED_NAMES_TRIED = 64


@dataclass(frozen=True)
class Kind:
    """How its members know each other: files of this folder, and what is set over the members' configuration."""

    files: Sequence[str]
    config: str
    # Names the configuration to mount.
    variable: str
    settings: Settings


LISTED = Kind(["compose.yaml"], "proxy.yaml", "PROXY_YAML", {})
# A push waits for as long as another member may take to take over.
LEASED = Kind(
    ["compose.yaml", "leased.yaml"],
    "leased-proxy.yaml",
    "LEASED_PROXY_YAML",
    {"writes": {"hold": "25s"}, "cluster": {"coordination": {"lease": "3s"}}},
)


@dataclass(frozen=True)
class Answer:
    """What curl was told (in lines that end as Python has them), and how long it took."""

    status: int
    headers: dict[str, str]
    body: str
    seconds: float


class Fleet:
    """A compose project, with the registry of one profile and HAProxy."""

    def __init__(
        self, engine: Engine, variables: dict[str, str], profile: str, directory: Path, *, by: Kind = LISTED
    ) -> None:
        self.engine, self._kind = engine, by
        # Its services are called so, with a number.
        self.replica = REPLICAS[profile]
        config = directory / "proxy.yaml"
        given = yaml.safe_load((COMPOSE / by.config).read_text())
        config.write_text(yaml.safe_dump(merged(merged(given, SHORTER), by.settings)))
        # The container's user is another than ours.
        config.chmod(0o644)
        self._environment = variables | {
            "COMPOSE_PROJECT_NAME": PROJECT,
            "COMPOSE_PROFILES": f"{profile},haproxy",
            "DOCKER_CONFIG": str(GO_TOOLS / "docker"),
            "DOCKER_HOST": engine.host,
            "DOCKER_BUILDKIT": "0",
            by.variable: str(config),
        }

    def compose(self, *words: str, timeout: float = UP_SECONDS) -> str:
        files = [word for name in self._kind.files for word in ("--file", COMPOSE / name)]
        return run(["docker", "compose", *files, *words], timeout, self._environment)

    def up(self) -> None:
        try:
            self.compose("up", "--detach", "--no-build")
            wait_until("all members to be healthy", lambda: all(map(self.is_healthy, MEMBERS)), READY_SECONDS)
        except AssertionError as why:
            raise AssertionError(f"{why}\n{self.last_words()}") from why

    def last_words(self) -> str:
        return self.compose("logs", "--no-color", "--tail=15")

    def down(self) -> None:
        self.compose("down", "--volumes")

    def container(self, service: str) -> str:
        """Also of one that has ended."""
        ours = f"label=com.docker.compose.project={PROJECT}"
        named = f"label=com.docker.compose.service={service}"
        return self.engine.docker("ps", "--all", "--quiet", "--filter", ours, "--filter", named).strip()

    def inspect(self, service: str) -> dict:
        return json.loads(self.engine.docker("inspect", self.container(service)))[0]

    def certificate_file(self, member: str, name: str) -> str:
        volume = f"{PROJECT}_certificates-{member[-1]}:/certificates:ro"
        return self.engine.docker("run", "--rm", "--volume", volume, "tools:test", "cat", f"/certificates/{name}").strip()

    def resources(self) -> dict[str, list[str]]:
        """What the engine has of this project, by kind."""
        ours = f"label=com.docker.compose.project={PROJECT}"
        listings = {
            "container": ("ps", "--all", "--quiet", "--filter", ours),
            "network": ("network", "ls", "--quiet", "--filter", ours),
            "volume": ("volume", "ls", "--quiet", "--filter", ours),
        }
        return {kind: self.engine.docker(*words).split() for kind, words in listings.items()}

    def is_healthy(self, member: str) -> bool:
        return self.inspect(member)["State"]["Health"]["Status"] == "healthy"

    def kill(self, number: int) -> None:
        """A member with its replica, as a machine that dies."""
        for service in (f"shardlet-{number}", f"{self.replica}-{number}"):
            self.engine.docker("kill", self.container(service))

    def start(self, number: int) -> None:
        self.compose("start", f"{self.replica}-{number}", f"shardlet-{number}")
        wait_until(f"shardlet-{number} to be healthy", lambda: self.is_healthy(f"shardlet-{number}"), READY_SECONDS)

    def owners(self, repositories: Sequence[str]) -> dict[str, str]:
        if self._kind is LISTED:
            words = ("/usr/local/bin/shardlet", "owner", "--format", "json", *repositories)
            rows = json.loads(self.engine.docker("exec", self.container(MEMBERS[0]), *words))
            return {row["repository"]: row["owner"] for row in rows}
        # No file tells who the members are.
        urls = [f"http://127.0.0.1:{ADMIN_PORT}/api/v1/owner?repo={name}" for name in repositories]
        told = self._run(["curl", "--silent", "--fail", "--write-out", r"\n\n", *urls])
        return {row["repository"]: row["owner"] for row in map(json.loads, told.strip().split("\n\n\n"))}

    def owned(self, prefix: str) -> dict[str, str]:
        """Member → a repository that it owns."""
        names = [f"{prefix}/{number}" for number in range(OWNED_NAMES_TRIED)]
        owners = self.owners(names)
        return {member: next(name for name in names if owners[name] == member) for member in MEMBERS}

    def start_upload(self, port: int, repository: str) -> Answer:
        """What a push begins with."""
        begun = time.monotonic()
        url = f"http://127.0.0.1:{port}/v2/{repository}/blobs/uploads/"
        told = self._run(["curl", "--silent", "--include", "--user", LOGIN, "--max-time", "60", "--request", "POST", url])
        head, _, body = told.partition("\n\n")
        status, *fields = head.split("\n")
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        return Answer(int(status.split()[1]), headers, body, time.monotonic() - begun)

    def push(self, layout: Layout, reference: str) -> None:
        self._run(push_words(layout, reference))

    def pull(self, reference: str, path: Path) -> Layout:
        self._run(pull_words(reference, path))
        return Layout(path)

    def within(self, service: str, command: Sequence[str | Path]) -> str:
        """Runs a program of ours on the network of a container, with the names that are known there."""
        about = self.inspect(service)
        ours = f"/proc/{self.engine.process.pid}/ns/mnt"
        # Its process number is one of the engine's namespace, and so is /proc as the engine has it mounted.
        network = f"--net=/proc/{about['State']['Pid']}/ns/net"
        resolve = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        enter = ["nsenter", f"--mount={ours}", "nsenter", network, "unshare", "--mount"]
        return run([*enter, "sh", "-c", resolve, about["ResolvConfPath"], *command])

    def _run(self, command: Sequence[str | Path]) -> str:
        return run(self.engine.inside(command))


def push_words(layout: Layout, reference: str) -> list[str]:
    return ["skopeo", *pushing(layout, reference), "--dest-creds", LOGIN]


def pull_words(reference: str, path: Path) -> list[str]:
    return ["skopeo", *pulling(reference, path), "--src-creds", LOGIN]
