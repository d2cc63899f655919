"""The program under test: one shardlet process with a proxy.yaml of its own."""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .certs import Pair
from .process import Process, attempt, run

Settings = Mapping[str, Any]

START_SECONDS = 30.0
BINARY_NAMED_BY = "SHARDLET_BINARY"


def binary() -> str:
    """The built shardlet: named by the environment, else the release build of this checkout."""
    built = Path(__file__).resolve().parents[3] / "target" / "release" / "shardlet"
    return os.environ.get(BINARY_NAMED_BY) or str(built)


@dataclass(frozen=True)
class Place:
    """Where a sidecar listens. All sidecars use the same ports, each on a loopback address of its own."""

    id: str
    host: str
    clients: int
    peers: int
    admin: int
    # What its processes are started through, such as `ip netns exec`.
    prefix: tuple[str, ...] = ()

    @property
    def peer_address(self) -> str:
        return f"{self.host}:{self.peers}"


@dataclass(frozen=True)
class Reloaded:
    """What a member says to a reload: whether it took the file, and its problems if not."""

    taken: bool
    text: str


@dataclass(frozen=True)
class Trust:
    """The cluster's certificate authority, this member's certificate, and the client listener's where it has TLS."""

    ca: Path
    member: Pair
    clients: Pair | None


class Sidecar:
    """One shardlet beside one replica."""

    def __init__(
        self,
        place: Place,
        replica: str,
        members: Sequence[Place],
        trust: Trust,
        directory: Path,
        settings: Settings | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`members`: none where they find each other by leases."""
        self.place = place
        self._env = env
        self.tls = trust.clients is not None
        self.config = directory / f"{place.id}.yaml"
        self.socket = directory / f"{place.id}.sock"
        self._given = merged(_config(place, replica, members, trust, directory), settings or {})
        self.configure({})
        self.log = directory / f"{place.id}.log"
        self.process = self._spawn()

    def configure(self, settings: Settings) -> None:
        """Writes its file anew: what it was started with, and `settings` over it. The process is told nothing."""
        self.config.write_text(yaml.safe_dump(merged(self._given, settings), sort_keys=False))

    def start_again(self) -> None:
        """After its process has ended; does not wait until it is ready."""
        self.process = self._spawn()

    def reload(self) -> Reloaded:
        """Has it take its file, by its own socket: it takes no commands by its ports."""
        done = attempt([binary(), "reload", "--socket", str(self.socket)])
        return Reloaded(taken=done.returncode == 0, text=done.stdout + done.stderr)

    @property
    def base(self) -> str:
        """The address that clients are given."""
        return f"{'https' if self.tls else 'http'}://{self.place.host}:{self.place.clients}"

    @property
    def host(self) -> str:
        """The same, without the scheme."""
        return f"{self.place.host}:{self.place.clients}"

    def wait_ready(self) -> None:
        self.process.wait_ready(self.is_ready, START_SECONDS)

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(self.admin_url("/readyz"), timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def metrics(self) -> str:
        return self._ask("/metrics")

    def fingerprint(self) -> str:
        """Of its view: what members send each other with every request."""
        return self.status()["view"]["fingerprint"]

    def status(self) -> dict[str, Any]:
        return json.loads(self._ask("/api/v1/status"))

    def metric(self, series: str) -> float:
        """One series by its name and labels as rendered; 0 if it is not there."""
        found = re.search(rf"^{re.escape(series)} (\S+)$", self.metrics(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    def owners(self, repositories: Sequence[str]) -> dict[str, str]:
        """Repository → member id, as `shardlet owner` names them: from the file alone, unless it has leases."""
        command = [binary(), "owner", "--config", self.config, "--format", "json", *repositories]
        rows: list[dict[str, Any]] = json.loads(run(command))
        return {row["repository"]: row["owner"] for row in rows}

    def _ask(self, path: str) -> str:
        with urllib.request.urlopen(self.admin_url(path), timeout=10) as answer:
            return answer.read().decode()

    def admin_url(self, path: str = "/") -> str:
        return f"http://{self.place.host}:{self.place.admin}{path}"

    def _spawn(self) -> Process:
        command = [*self.place.prefix, binary(), "run", "--config", self.config]
        return Process(f"sidecar {self.place.id}", command, self.log, self._env)


def merged(base: Settings, over: Settings) -> dict[str, Any]:
    """`over` wins; where both have a mapping, the mappings are merged."""
    both = {name: merged(base[name], value) for name, value in over.items() if _are_mappings(base.get(name), value)}
    return dict(base) | dict(over) | both


def _are_mappings(*values: Any) -> bool:
    return all(isinstance(value, Mapping) for value in values)


def _config(place: Place, replica: str, members: Sequence[Place], trust: Trust, directory: Path) -> dict[str, Any]:
    hash_key = directory / "hash.key"
    # Once: another member may be reading it.
    if not hash_key.exists():
        hash_key.write_bytes(b"sixteen bytes ok")
        hash_key.chmod(0o600)
    clients: dict[str, Any] = {"address": f"{place.host}:{place.clients}"}
    if trust.clients:
        clients["tls"] = {"cert": str(trust.clients.cert), "key": str(trust.clients.key)}
    listed = [{"id": member.id, "address": member.peer_address} for member in members]
    return {
        "member": place.id,
        "listen": {
            "clients": clients,
            "peers": {"address": place.peer_address},
            "admin": {"address": f"{place.host}:{place.admin}", "socket": str(directory / f"{place.id}.sock")},
        },
        "registry": {"address": replica},
        # Nothing was written before these members began: nobody has to wait for that.
        "timeouts": {"drain_delay": "0s", "aftermath": "0s"},
        "cluster": {
            "hash_key_file": str(hash_key),
            "tls": {"ca": str(trust.ca), "cert": str(trust.member.cert), "key": str(trust.member.key)},
            **({"members": listed} if listed else {}),
        },
    }
