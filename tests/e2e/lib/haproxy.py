"""HAProxy before the sidecars: as in zot's scale-out example, without its cookie and its rules per repository."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from .process import Ports, Process, accepts

START_SECONDS = 10.0
Mode = Literal["http", "tcp"]

_CONFIG = """\
global
    log stdout format raw local0
    maxconn 2000
    stats timeout 30s

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


class HAProxy:
    """One load balancer that knows nothing of repositories. `host` is what clients are given."""

    def __init__(self, mode: Mode, servers: Sequence[str], ports: Ports, directory: Path) -> None:
        port = ports.take()
        self.host = f"127.0.0.1:{port}"
        self.base = f"http://{self.host}"
        directory.mkdir(parents=True)
        config = directory / "haproxy.cfg"
        lines = [f"    server zot{number} {server}" for number, server in enumerate(servers)]
        config.write_text(_CONFIG.format(mode=mode, log=f"{mode}log", bind=self.host, servers="\n".join(lines)))
        binary = shutil.which("haproxy") or "/usr/sbin/haproxy"
        self.process = Process(f"haproxy {mode}", [binary, "-db", "-f", config], directory / "haproxy.log")
        self.process.wait_ready(lambda: accepts("127.0.0.1", port), START_SECONDS)

    def servers_used(self) -> set[str]:
        """The servers that its log says it has sent something to."""
        names = (word.removeprefix("zot-cluster/") for word in self.process.text().split() if "zot-cluster/" in word)
        return set(names)
