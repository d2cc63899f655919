"""HAProxy before the sidecars: as in zot's scale-out example, without its cookie and its rules per repository."""

from __future__ import annotations

import csv
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from .process import Ports, Process, accepts, wait_until

START_SECONDS = 10.0
UP_SECONDS = 30.0
Mode = Literal["http", "tcp"]

_CONFIG = """\
global
    log stdout format raw local0
    maxconn 2000
    stats timeout 30s
    stats socket ipv4@{stats} level user

defaults
    log     global
    mode    {mode}
    option  {log}
    option  dontlognull
    timeout connect 5000
    timeout client  50000
    timeout server  50000

frontend zot
    bind {bind}
    default_backend zot-cluster

backend zot-cluster
    balance roundrobin
{servers}
"""
# As docs/balancers.md has it, but that it looks more often.
_CHECKS = """\
    option redispatch 1
    option httpchk GET /readyz
    http-check expect status 200
    default-server check inter 500ms fall 2 rise 2"""


class HAProxy:
    """One load balancer that knows nothing of repositories. `host` is what clients are given.

    With `admin_ports`, one for each server, it sends nobody to a member that is not ready.
    """

    def __init__(
        self, mode: Mode, servers: Sequence[str], ports: Ports, directory: Path, admin_ports: Sequence[int] = ()
    ) -> None:
        port, self._stats = ports.take(), ports.take()
        self.host = f"127.0.0.1:{port}"
        self.base = f"http://{self.host}"
        directory.mkdir(parents=True)
        config = directory / "haproxy.cfg"
        lines = [_CHECKS] if admin_ports else []
        for number, server in enumerate(servers):
            checked = f" port {admin_ports[number]}" if admin_ports else ""
            lines.append(f"    server zot{number} {server}{checked}")
        text = _CONFIG.format(
            mode=mode, log=f"{mode}log", bind=self.host, stats=f"127.0.0.1:{self._stats}", servers="\n".join(lines)
        )
        config.write_text(text)
        binary = shutil.which("haproxy") or "/usr/sbin/haproxy"
        self.process = Process(f"haproxy {mode}", [binary, "-db", "-f", config], directory / "haproxy.log")
        self.process.wait_ready(lambda: accepts("127.0.0.1", port), START_SECONDS)

    def servers_used(self) -> set[str]:
        """The servers that its log says it has sent something to."""
        names = (word.removeprefix("zot-cluster/") for word in self.process.text().split() if "zot-cluster/" in word)
        return set(names)

    def wait_up(self, count: int) -> None:
        """Until it has so many servers to send clients to."""
        wait_until(f"HAProxy to see {count} members", lambda: self._servers_up() == count, UP_SECONDS)

    def _servers_up(self) -> int:
        """How many its checks have found ready, of those that it checks."""
        with socket.create_connection(("127.0.0.1", self._stats)) as connection:
            connection.sendall(b"show stat\n")
            with connection.makefile() as answer:
                rows = csv.DictReader(answer)
                return sum(row["svname"].startswith("zot") and row["status"] == "UP" for row in rows)
