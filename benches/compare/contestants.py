"""The proxies, each set up to do the same job: send a repository's requests to that repository's owner.

All keep connections to both sides open, stream bodies both ways and say who asked (X-Forwarded-*).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import usage
from load import Door, Paths, answers
from processes import Process, free_ports

# Owners to choose from. All are the one upstream, so that the choice costs what it costs and nothing else differs.
OWNERS = 3
# More than are opened here, and no reason to close one of them.
CONNECTIONS = 6000
REQUESTS = 1_000_000_000

GETS = frozenset({"gets", "one get"})
BODIES = frozenset({"bodies"})
ALL = GETS | BODIES | {"pull", "idle"}


@dataclass(frozen=True)
class Setting:
    """What all contestants of one run share."""

    upstream: int
    socket: Path
    paths: Paths
    cpus: set[int]
    directory: Path


@dataclass
class Running:
    """A contestant that serves."""

    port: int
    paths: Paths
    # Whose work counts, the one that clients see first. Anything else is there, but has no part in it.
    processes: list[Process] = field(default_factory=list)
    others: list[Process] = field(default_factory=list)
    authority: Path | None = None
    # Where it says that it is ready, if it does.
    admin: int | None = None
    ready_ms: float | None = None

    def door(self) -> Door:
        watch = tuple(sorted(usage.family(process.pid for process in self.processes)))
        return Door(self.port, self.authority, watch, self.paths)

    def wait(self) -> Running:
        """For the first answer to a client, and for the first write to be taken."""
        first, door = self.processes[0], self.door()
        ready = first.wait_until(lambda: answers(door))
        self.ready_ms = first.wait_until(lambda: says_ready(self.admin)) if self.admin else ready
        if self.paths.upload:
            first.wait_until(lambda: answers(door, "PATCH", self.paths.upload))
        return self

    def end(self) -> None:
        for process in (*self.processes, *self.others):
            process.end()


@dataclass(frozen=True)
class Contestant:
    """A name for the tables, how to start it, and what it takes part in."""

    name: str
    start: Callable[[Setting], Running]
    works: frozenset[str]


def all_contestants(binary: Path, against: Path | None) -> list[Contestant]:
    tls = GETS | BODIES | {"pull", "idle", "churn"}
    one_hop = ALL | {"open loop", "start"}
    contestants = [
        Contestant("no proxy", lambda setting: Running(setting.upstream, setting.paths), ALL | {"open loop"}),
        Contestant("nginx", start_nginx, one_hop),
        Contestant("HAProxy", HAProxy().start, one_hop),
        Contestant("HAProxy, splice", HAProxy(splice=True).start, BODIES),
        Contestant("HAProxy, two hops mTLS", HAProxy(hop=True).start, GETS | BODIES | {"pull"}),
        Contestant("shardlet, local", Shardlet(binary).start, one_hop),
        Contestant("shardlet, local, log off", Shardlet(binary, log=False).start, GETS),
        Contestant("shardlet, local, Unix socket", Shardlet(binary, unix=True).start, GETS | BODIES),
        Contestant("shardlet, hop plain", Shardlet(binary, owner="b").start, GETS | BODIES | {"pull"}),
        Contestant("shardlet, hop mTLS", Shardlet(binary, owner="b", mtls=True).start, GETS | BODIES | {"pull"}),
        Contestant("nginx, TLS client", lambda setting: start_nginx(setting, tls=True), tls),
        Contestant("HAProxy, TLS client", HAProxy(tls=True).start, tls),
        Contestant("shardlet, TLS client", Shardlet(binary, tls=True).start, tls),
    ]
    if against:
        other = f"{against.name} (other)"
        contestants += [
            Contestant(f"{other}, local", Shardlet(against).start, one_hop),
            Contestant(f"{other}, hop mTLS", Shardlet(against, owner="b", mtls=True).start, GETS | BODIES | {"pull"}),
            Contestant(f"{other}, TLS client", Shardlet(against, tls=True).start, tls),
        ]
    return contestants


def start_nginx(setting: Setting, *, tls: bool = False) -> Running:
    (port,) = free_ports(1)
    running = Running(port, setting.paths)
    secure = ""
    if tls:
        running.authority = certificates(setting.directory, "nginx")
        secure = "ssl_certificate nginx.crt; ssl_certificate_key nginx.key; ssl_session_cache shared:s:4m;"
    config = setting.directory / "nginx.conf"
    servers = " ".join(f"server 127.0.0.1:{setting.upstream} weight={1 + owner};" for owner in range(OWNERS))
    # Workers of a master that is root would become somebody who cannot read the temporary directory. The temporary
    # paths must be writable, and the default ones need not be.
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(
        f"""
daemon off; {user} pid nginx.pid; worker_processes {len(setting.cpus)}; worker_rlimit_nofile 16384;
events {{ worker_connections {2 * CONNECTIONS}; }}
http {{
  access_log off; keepalive_requests {REQUESTS}; client_max_body_size 0; tcp_nodelay on; keepalive_timeout 600s;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  map $uri $repository {{ "~^(?<name>.*)/(blobs|manifests|tags|referrers)/" $name; default $uri; }}
  upstream replicas {{ hash $repository consistent; {servers} keepalive 64; keepalive_requests {REQUESTS}; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096 {"ssl" if tls else ""};
    {secure}
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
    command = ["nginx", "-p", setting.directory, "-e", "stderr", "-c", config]
    running.processes.append(Process(command, setting.directory / "log", setting.cpus))
    return running.wait()


class HAProxy:
    """With `hop` two of them: the first chooses the owner, the second stands before it."""

    def __init__(self, *, splice: bool = False, hop: bool = False, tls: bool = False) -> None:
        self._splice = splice
        self._hop = hop
        self._tls = tls

    def start(self, setting: Setting) -> Running:
        port, second = free_ports(2)
        running = Running(port, setting.paths)
        directory = setting.directory
        bind, server, upstream = "", "", setting.upstream
        if self._hop or self._tls:
            authority = certificates(directory, "first", "second")
        if self._tls:
            running.authority = authority
            bind = f"ssl crt {directory}/first.pem"
        if self._hop:
            mutual = f"ca-file {authority} verify required"
            last = self._frontend(second, f"ssl crt {directory}/second.pem {mutual}") + self._backend(upstream, 1, "")
            running.processes.append(self._process(setting, "second", last))
            upstream, server = second, f"ssl crt {directory}/first.pem {mutual}"
        chosen = self._frontend(port, bind, CHOICE) + self._backend(upstream, OWNERS, server, HASH)
        running.processes.insert(0, self._process(setting, "first", chosen))
        return running.wait()

    def _process(self, setting: Setting, name: str, config: str) -> Process:
        file = setting.directory / f"{name}.cfg"
        splice = "option splice-request\n  option splice-response" if self._splice else ""
        file.write_text(
            f"""
global
  nbthread {len(setting.cpus)}
  maxconn {CONNECTIONS}
defaults
  mode http
  timeout connect 2s
  timeout client 600s
  timeout server 75s
  {splice}
{config}"""
        )
        return Process(["haproxy", "-db", "-f", file], setting.directory / f"{name}.log", setting.cpus)

    @staticmethod
    def _frontend(port: int, bind: str, choice: str = "") -> str:
        return f"""
frontend clients
  bind 127.0.0.1:{port} backlog 4096 {bind}
  default_backend replicas
{choice}"""

    @staticmethod
    def _backend(upstream: int, owners: int, options: str, choice: str = "") -> str:
        servers = "\n".join(f"  server r{owner} 127.0.0.1:{upstream} check {options}" for owner in range(owners))
        return f"""
backend replicas
  option httpchk GET /v2/
  http-reuse always
{choice}
{servers}
"""


CHOICE = """
  http-request set-var(txn.repo) 'path,regsub("/(blobs|manifests|tags|referrers)/.*$","/")'
  unique-id-format %{+X}o%ci%cp%Ts%rt
  http-request set-header X-Request-Id %[unique-id]
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
"""
HASH = """
  option forwardfor
  balance hash var(txn.repo)
  hash-type consistent sdbm avalanche
"""


class Shardlet:
    """Two members, each before a replica; `a` is asked, `owner` serves."""

    def __init__(
        self,
        binary: Path,
        owner: str = "a",
        *,
        mtls: bool = False,
        tls: bool = False,
        unix: bool = False,
        log: bool = True,
    ) -> None:
        self._binary = binary
        self._owner = owner
        self._mtls = mtls
        self._tls = tls
        self._unix = unix
        self._log = log

    def start(self, setting: Setting, replicas: dict[str, Process] | None = None) -> Running:
        members = dict(zip("ab", (free_ports(3), free_ports(3)), strict=True))
        directory = setting.directory
        running = Running(members["a"][0], setting.paths, admin=members["a"][2])
        if self._mtls or self._tls:
            authority = certificates(directory, "a", "b")
            running.authority = authority if self._tls else None
        # A copy of its own: contestants that share a program's pages would each seem smaller than they are.
        binary = shutil.copy(self._binary, directory / "shardlet")
        address = f"unix:{setting.socket}" if self._unix else f"127.0.0.1:{setting.upstream}"
        started = {}
        for member in "ba":
            config = directory / f"{member}.yaml"
            config.write_text(self._config(member, members, address, setting.paths.repository))
            command = [binary, "run", "--config", config]
            started[member] = Process(command, directory / f"{member}.log", setting.cpus)
            if member != "a":
                # So that the one whose start is timed has the CPU for itself.
                started[member].wait_until(lambda: says_ready(members["b"][2]))
        running.processes = [started[member] for member in dict.fromkeys(("a", self._owner))]
        running.others = [process for process in started.values() if process not in running.processes]
        if replicas:
            running.processes.append(replicas[self._owner])
        return running.wait()

    def _config(self, member: str, members: dict[str, list[int]], replica: str, repository: str) -> str:
        clients, peers, admin = members[member]
        trust = f"tls: {{ ca: ca.crt, cert: {member}.crt, key: {member}.key }}" if self._mtls else "insecure: true"
        secure = f", tls: {{ cert: {member}.crt, key: {member}.key }}" if self._tls else ""
        listed = "\n".join(f"    - {{ id: {id}, address: 127.0.0.1:{ports[1]} }}" for id, ports in members.items())
        return f"""
member: {member}
listen:
  clients: {{ address: 127.0.0.1:{clients}{secure} }}
  peers: {{ address: 127.0.0.1:{peers} }}
  admin: {{ address: 127.0.0.1:{admin} }}
registry: {{ address: '{replica}' }}
cluster:
  hash_key: {HASH_KEY}
  {trust}
  pins: [{{ prefix: {repository}, member: {self._owner} }}]
  members:
{listed}
# Without fallback, an answer came from the owner.
reads: {{ owner_down: reject }}
limits: {{ requests_per_connection: {REQUESTS} }}
# Two processes that both start anew know nothing of writes under way, and wait for this long.
timeouts: {{ keepalive: 600s, aftermath: 3s, drain_delay: 0s, drain: 1s }}
log: {{ requests: {str(self._log).lower()} }}
"""


HASH_KEY = "sixteen bytes ok"


def says_ready(admin: int) -> bool:
    return answers(Door(admin, None, (), Paths("", "")), path="/readyz")


def certificates(directory: Path, *names: str) -> Path:
    """The path of an authority that has made a certificate for each name, good for this one run."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    ca = ["-x509", "-days", "1", "-subj", "/CN=bench", "-keyout", "ca.key", "-out", "ca.crt"]
    openssl(directory, "req", *key, *ca, "-addext", "keyUsage=critical,keyCertSign")
    for name in names:
        (directory / "names").write_text(
            f"subjectAltName=DNS:{name},IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n"
        )
        openssl(directory, "req", "-new", *key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", "csr")
        signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1", "-extfile", "names"]
        openssl(directory, "x509", "-req", "-in", "csr", *signed, "-out", f"{name}.crt")
        # HAProxy wants both in one file.
        both = (directory / f"{name}.crt").read_text() + (directory / f"{name}.key").read_text()
        (directory / f"{name}.pem").write_text(both)
    return directory / "ca.crt"


def openssl(directory: Path, *words: str) -> None:
    done = subprocess.run(["openssl", *words], cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {words[0]}: {done.stderr}")
