"""The proxies, each set up to do the same job: send a repository's requests to that repository's owner.

All keep connections to both sides open, stream bodies both ways and say who asked (X-Forwarded-*).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import load
from processes import Process, free_ports
from upstreams import NGINX_HEAD, nginx_user

# Owners to choose from. All are the one upstream, so that the choice costs what it costs and nothing else differs.
OWNERS = 3
OPTIONS_OF_LOG = {True: "log: { requests: true }", False: "log: { requests: false }"}


@dataclass
class Running:
    """A contestant that serves."""

    name: str
    port: int
    processes: list[Process] = field(default_factory=list)

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self.processes]

    def end(self) -> None:
        for process in self.processes:
            process.end()


@dataclass(frozen=True)
class Setting:
    """What all contestants of one run share."""

    threads: int
    upstream: int
    directory: Path


@dataclass(frozen=True)
class Contestant:
    """A name for the table, and how to start it."""

    name: str
    start: Callable[[str, Setting], Running]


def all_contestants(binary: Path, against: Path | None) -> list[Contestant]:
    contestants = [
        Contestant("no proxy", lambda name, setting: Running(name, setting.upstream)),
        Contestant("nginx", start_nginx),
        Contestant("HAProxy", start_haproxy),
        Contestant("shardlet, local", Shardlet(binary, owner="a").start),
        Contestant("shardlet, local, log off", Shardlet(binary, owner="a", log=False).start),
        Contestant("shardlet, forward mTLS", Shardlet(binary, owner="b", tls=True).start),
        Contestant("shardlet, forward plain", Shardlet(binary, owner="b").start),
    ]
    if against:
        contestants.append(Contestant(f"{against.name} (other), local", Shardlet(against, owner="a").start))
    return contestants


def start_nginx(name: str, setting: Setting) -> Running:
    (port,) = free_ports(1)
    config = setting.directory / "nginx.conf"
    servers = " ".join(f"server 127.0.0.1:{setting.upstream} weight={1 + owner};" for owner in range(OWNERS))
    config.write_text(
        NGINX_HEAD.format(workers=setting.threads, user=nginx_user())
        + f"""
  map $uri $repository {{ "~^(?<name>.*)/(blobs|manifests|tags|referrers)/" $name; default $uri; }}
  upstream replicas {{ hash $repository consistent; {servers} keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://replicas;
      proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Request-Id $request_id;
      proxy_request_buffering off; proxy_max_temp_file_size 0;
    }}
  }}
}}
"""
    )
    process = Process(["nginx", "-p", setting.directory, "-e", "stderr", "-c", config], setting.directory / "log")
    process.wait_until(lambda: load.answers(port))
    return Running(name, port, [process])


def start_haproxy(name: str, setting: Setting) -> Running:
    (port,) = free_ports(1)
    config = setting.directory / "haproxy.cfg"
    servers = "\n".join(f"  server r{owner} 127.0.0.1:{setting.upstream} check" for owner in range(OWNERS))
    config.write_text(
        f"""
global
  nbthread {setting.threads}
  maxconn 8000
defaults
  mode http
  timeout connect 2s
  timeout client 75s
  timeout server 75s
frontend clients
  bind 127.0.0.1:{port} backlog 4096
  http-request set-var(txn.repo) 'path,regsub("/(blobs|manifests|tags|referrers)/.*$","/")'
  unique-id-format %{{+X}}o%ci%cp%Ts%rt
  http-request set-header X-Request-Id %[unique-id]
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  default_backend replicas
backend replicas
  option forwardfor
  option httpchk GET /v2/
  balance hash var(txn.repo)
  hash-type consistent sdbm avalanche
  http-reuse always
{servers}
"""
    )
    process = Process(["haproxy", "-db", "-f", config], setting.directory / "log")
    process.wait_until(lambda: load.answers(port))
    return Running(name, port, [process])


class Shardlet:
    """Two members before one upstream; `a` is asked, `owner` serves."""

    def __init__(self, binary: Path, owner: str, *, tls: bool = False, log: bool = True) -> None:
        self._binary = binary
        self._owner = owner
        self._tls = tls
        self._log = log

    def start(self, name: str, setting: Setting) -> Running:
        members = dict(zip("ab", (free_ports(3), free_ports(3)), strict=True))
        directory = setting.directory
        if self._tls:
            certificates(directory, "ab")
        # A copy of its own: contestants that share a program's pages would each seem smaller than they are.
        binary = shutil.copy(self._binary, directory / "shardlet")
        running = Running(name, members["a"][0])
        # With a local plan the owner's peer has no part in it: it is not even started.
        for member in dict.fromkeys(("a", self._owner)):
            config = directory / f"{member}.yaml"
            config.write_text(self._config(member, members, setting.upstream))
            command = [binary, "run", "--config", config]
            # The runtime's own variable: the number of threads that serve requests.
            process = Process(command, directory / f"{member}.log", TOKIO_WORKER_THREADS=str(setting.threads))
            running.processes.append(process)
        running.processes[0].wait_until(lambda: load.answers(running.port))
        return running

    def _config(self, member: str, members: dict[str, list[int]], upstream: int) -> str:
        clients, peers, admin = members[member]
        trust = f"tls: {{ ca: ca.crt, cert: {member}.crt, key: {member}.key }}" if self._tls else "insecure: true"
        listed = "\n".join(f"    - {{ id: {id}, address: 127.0.0.1:{ports[1]} }}" for id, ports in members.items())
        return f"""
member: {member}
listen:
  clients: {{ address: 127.0.0.1:{clients} }}
  peers: {{ address: 127.0.0.1:{peers} }}
  admin: {{ address: 127.0.0.1:{admin} }}
registry: {{ address: 127.0.0.1:{upstream} }}
cluster:
  hash_key: sixteen bytes ok
  {trust}
  members:
{listed}
  pins:
    - {{ prefix: {load.REPOSITORY}, member: {self._owner} }}
# Without fallback, an answer came from the owner.
reads: {{ owner_down: reject }}
limits: {{ requests_per_connection: 1000000000 }}
{OPTIONS_OF_LOG[self._log]}
"""


def certificates(directory: Path, members: str) -> None:
    """An authority and a certificate for each member, good for this one run."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    ca = ["-x509", "-subj", "/CN=bench", "-keyout", "ca.key", "-out", "ca.crt"]
    openssl(directory, "req", *key, *ca, "-addext", "keyUsage=critical,keyCertSign")
    for member in members:
        (directory / "names").write_text(
            f"subjectAltName=DNS:{member},IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n"
        )
        openssl(directory, "req", "-new", *key[:-2], "-subj", f"/CN={member}", "-keyout", f"{member}.key", "-out", "csr")
        signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1", "-extfile", "names"]
        openssl(directory, "x509", "-req", "-in", "csr", *signed, "-out", f"{member}.crt")


def openssl(directory: Path, *words: str) -> None:
    done = subprocess.run(["openssl", *words], cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {words[0]}: {done.stderr}")
