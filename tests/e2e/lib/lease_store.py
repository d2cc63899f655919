"""What members keep their leases in: stand-ins for S3, DynamoDB and Kubernetes, each a process that notes every put.

Puts are noted by the clock that all processes of the machine share. Who held a lease, who lost it to a fence, and what
the views were is read from there, never from what a member says of itself.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import lease_dynamodb, lease_kubernetes, lease_s3
from .certs import Authority
from .process import Ports, Process, accepts, attempt
from .sidecar import Settings
from .store import ACCESS_KEY, REGION, SECRET_KEY, Moto

BUCKET, TABLE = "leases", "leases"
NAMESPACE, TOKEN = "registry", "the token of a service account"
# Puts the folder that is named first where a pod has its account, for the program that follows alone.
IN_A_POD = (
    *("unshare", "--mount", "sh", "-c"),
    'at=$(readlink -f /var/run) && mount -t tmpfs none "$at" && at=$at/secrets/kubernetes.io/serviceaccount && '
    'mkdir -p "$at" && mount --bind "$0" "$at" && exec "$@"',
)
START_SECONDS = 20.0
CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}


@dataclass(frozen=True)
class Put:
    """One that was carried out."""

    at: float
    # Without the prefix: `view`, or `lease/` and a member.
    key: str
    value: dict[str, Any]


class Leases(ABC):
    """A running store. `stop` ends it."""

    # What its members need: in their environment, and to be started through.
    environment: Mapping[str, str] = {}
    launcher: tuple[str, ...] = ()

    def __init__(self, directory: Path) -> None:
        self._puts = directory / "store.puts"

    @abstractmethod
    def settings(self, name: str) -> Settings:
        """What `cluster.coordination.store` of a member says of it."""

    @abstractmethod
    def stop(self) -> None: ...

    def puts(self) -> list[Put]:
        """Every one that changed a lease or the view, oldest first."""
        lines = self._puts.read_text().splitlines(keepends=True) if self._puts.exists() else []
        return [Put(**json.loads(line)) for line in lines if line.endswith("\n")]

    def lease_of(self, member: str) -> dict[str, Any]:
        return next((put.value for put in reversed(self.puts()) if put.key == f"lease/{member}"), {})

    def view(self) -> dict[str, Any]:
        return next((put.value for put in reversed(self.puts()) if put.key == "view"), {})

    def members(self) -> list[str]:
        """Of the view in force."""
        return [seat["id"] for seat in self.view().get("now", {}).get("members", [])]

    def fenced(self, since: float = 0.0) -> list[str]:
        """Whom a lease was taken from, each time."""
        return [
            put.key.removeprefix("lease/")
            for put in self.puts()
            if put.at >= since and put.key.startswith("lease/") and put.value["state"] == "fenced"
        ]


class LeaseStore(Leases):
    """Of S3; a port for each of `names`."""

    environment = CREDENTIALS

    def __init__(self, names: Sequence[str], ports: Ports, directory: Path, host: str = "127.0.0.1") -> None:
        super().__init__(directory)
        self._host = host
        self._ports = {name: ports.take(host) for name in names}
        self._control = ports.take(host)
        argv = [host, self._puts, str(self._control), *map(str, self._ports.values())]
        self.process = _program(lease_s3.__name__, argv, directory)
        self.process.wait_ready(lambda: accepts(host, self._control), START_SECONDS)

    def endpoint(self, name: str) -> str:
        return f"http://{self._host}:{self._ports[name]}"

    def settings(self, name: str) -> Settings:
        return {"s3": {"bucket": BUCKET, "prefix": lease_s3.PREFIX, "region": REGION, "endpoint": self.endpoint(name)}}

    def is_to(self, mode: str, *names: str) -> None:
        """From now on, for these members, or for all."""
        assert mode in lease_s3.MODES, mode
        for name in names or self._ports:
            self._tell(f"mode/{self._ports[name]}/{mode}")

    def calls(self) -> dict[str, int]:
        """How many were answered, by method."""
        return json.loads(self._tell("calls"))

    def stop(self) -> None:
        self.process.stop()

    def _tell(self, command: str) -> str:
        with urllib.request.urlopen(f"http://{self._host}:{self._control}/{command}", timeout=10) as answer:
            return answer.read().decode()


class DynamoDbStore(Leases):
    """moto, as in compose: one request at a time."""

    environment = CREDENTIALS

    def __init__(self, ports: Ports, directory: Path) -> None:
        super().__init__(directory)
        self._moto = Moto(ports, directory, ("-m", lease_dynamodb.__name__, self._puts))
        self._moto.client("dynamodb").create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "fleet", "KeyType": "HASH"}, {"AttributeName": "item", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("fleet", "item")],
            BillingMode="PAY_PER_REQUEST",
        )

    def settings(self, name: str) -> Settings:  # noqa: ARG002 (all by one port)
        return {"dynamodb": {"table": TABLE, "region": REGION, "endpoint": self._moto.endpoint}}

    def stop(self) -> None:
        self._moto.process.stop()


class KubernetesStore(Leases):
    """The API of a cluster in which each member finds what its pod would have: an account, and where to ask."""

    def __init__(self, ports: Ports, directory: Path, authority: Authority) -> None:
        super().__init__(directory)
        host, port = "127.0.0.1", ports.take()
        account = directory / "serviceaccount"
        account.mkdir()
        (account / "ca.crt").write_bytes(authority.ca.read_bytes())
        (account / "token").write_text(TOKEN)
        (account / "namespace").write_text(NAMESPACE)
        self.environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(port)}
        self.launcher = (*IN_A_POD, str(account))
        pair = authority.issue("kubernetes", host)
        argv = [host, str(port), self._puts, pair.cert, pair.key, NAMESPACE, TOKEN]
        self.process = _program(lease_kubernetes.__name__, argv, directory)
        self.process.wait_ready(lambda: accepts(host, port), START_SECONDS)

    @staticmethod
    def why_none() -> str:
        """Why no process can have a folder of its own here; empty if it can."""
        done = attempt([*IN_A_POD, "/", "true"])
        return done.stderr.strip() if done.returncode else ""

    def settings(self, name: str) -> Settings:  # noqa: ARG002 (all by one port)
        return {"kubernetes": {"fleet": "faults"}}

    def stop(self) -> None:
        self.process.stop()


def _program(module: str, argv: Sequence[str | Path], directory: Path) -> Process:
    env = {"PYTHONPATH": ":".join(sys.path)}
    return Process("lease store", [sys.executable, "-m", module, *argv], directory / "store.log", env)
