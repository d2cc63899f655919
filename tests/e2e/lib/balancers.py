"""Balancers before the sidecars, set up as docs/balancers.md says: names, ports and places for files are put in."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from .process import Ports, Process, accepts

START_SECONDS = 10.0
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True)
class Balancer:
    """One that runs; `host` is what clients are given."""

    host: str
    process: Process


def haproxy(sample: str, servers: list[tuple[str, int]], ports: Ports, directory: Path) -> Balancer:
    port = ports.take()
    config = directory / "haproxy.cfg"
    text = _named(sample, servers).replace("    bind :5000", f"    bind 127.0.0.1:{port}")
    config.write_text(text)
    return _started("haproxy", [_binary("haproxy"), "-db", "-f", config], port, directory)


def nginx(sample: str, servers: list[tuple[str, int]], ports: Ports, directory: Path) -> Balancer:
    port = ports.take()
    config = directory / "nginx.conf"
    # Nothing of the machine's own nginx is touched.
    places = "".join(f"    {name}_temp_path {directory}/{name};\n" for name in _TEMPORARY)
    text = _named(sample, servers).replace("listen 5000;", f"listen 127.0.0.1:{port};")
    config.write_text(text.replace("http {\n", f"http {{\n    access_log {directory}/access.log;\n{places}", 1))
    globals_ = f"daemon off; pid {directory}/nginx.pid; error_log stderr;"
    return _started("nginx", [_binary("nginx"), "-p", directory, "-c", config, "-g", globals_], port, directory)


def _named(sample: str, servers: list[tuple[str, int]]) -> str:
    for number, (host, port) in enumerate(servers, start=1):
        name = f"zot-{number}:5000"
        assert name in sample
        sample = sample.replace(name, f"{host}:{port}")
    return sample


def _started(name: str, command: list[str | Path], port: int, directory: Path) -> Balancer:
    process = Process(name, command, directory / f"{name}.log")
    process.wait_ready(lambda: accepts("127.0.0.1", port), START_SECONDS)
    return Balancer(f"127.0.0.1:{port}", process)


def _binary(name: str) -> str:
    return shutil.which(name) or f"/usr/sbin/{name}"
