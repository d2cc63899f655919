"""docs/migrate.md, from HAProxy rules: zot's sample, and sidecars beside it, under pushes, there and back."""

from __future__ import annotations

import csv
import re
import shutil
import signal
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from lib.certs import Authority
from lib.cluster import LOOPBACK, Cluster, Shape
from lib.deployed import REPOSITORY
from lib.process import Ports, Process, accepts, run, wait_until
from lib.pushes import Pushes
from lib.replica import DockerRegistry, Replica, Zot
from lib.sidecar import binary
from lib.store import Moto

SAMPLE = REPOSITORY / "tests" / "cli" / "data" / "haproxy" / "clustering-rules.cfg"
RULED = ["repo1/app", "repo2/app", "repo3/app"]
UNRULED = "other/app"
WAIT_SECONDS = 20.0
A_FEW = 30
# What of the sample is for a service of the system is left out.
_HEAD = """\
global
    log stdout format raw local0
    stats socket ipv4@{stats} level user expose-fd listeners

defaults
    log     global
    mode    http
    option  httplog
    timeout connect 5000
    timeout client  50000
    timeout server  50000

"""
# As the document and docs/operations.md have it, but that it looks more often.
_AFTER = """\
frontend zot
    bind {bind}
    default_backend sidecars

backend sidecars
    balance roundrobin
    option redispatch 1
    option httpchk GET /readyz
    http-check expect status 200
    default-server check port {admin} inter 500ms fall 2 rise 2
"""


class HAProxy:
    """One process, whose configuration is changed by a reload, as the service of the system does it."""

    def __init__(self, ports: Ports, folder: Path) -> None:
        self.port, self._stats = ports.take(), ports.take()
        self.base = f"http://127.0.0.1:{self.port}"
        self.head = _HEAD.format(stats=f"127.0.0.1:{self._stats}")
        folder.mkdir()
        self._file, self._log = folder / "haproxy.cfg", folder / "haproxy.log"

    def start(self, text: str) -> None:
        self._file.write_text(self.head + text)
        program = shutil.which("haproxy") or "/usr/sbin/haproxy"
        self.process = Process("haproxy", [program, "-W", "-db", "-f", self._file], self._log)
        self.process.wait_ready(lambda: accepts("127.0.0.1", self.port), WAIT_SECONDS)

    def reload(self, text: str, backend: str) -> None:
        """Returns when the new process has this backend, all of it up."""
        self._file.write_text(self.head + text)
        self.process.signal(signal.SIGUSR2)
        wait_until(f"HAProxy to send to {backend}", lambda: self._is_up(backend), WAIT_SECONDS)

    def _is_up(self, backend: str) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._stats)) as connection:
                connection.sendall(b"show stat\n")
                with connection.makefile() as answer:
                    rows = [row for row in csv.DictReader(answer) if row["# pxname"] == backend]
        except OSError:
            return False
        servers = [row for row in rows if row["svname"] not in ("FRONTEND", "BACKEND")]
        return bool(servers) and all(row["status"].startswith("UP") for row in servers)


@pytest.fixture(params=[DockerRegistry, Zot], ids=lambda kind: kind.kind)
def kind(request: pytest.FixtureRequest) -> type[Replica]:
    if not request.param.binary():
        pytest.skip(f"no {request.param.kind} binary")
    return request.param


@pytest.fixture
def haproxy(ports: Ports, tmp_path: Path) -> Iterator[HAProxy]:
    made = HAProxy(ports, tmp_path / "haproxy")
    yield made
    made.process.stop()


def test_rules_and_sidecars_side_by_side_and_back(
    kind: type[Replica],
    moto: Moto,
    haproxy: HAProxy,
    authority: Authority,
    ports: Ports,
    figures: list[str],
    tmp_path: Path,
) -> None:
    (tmp_path / "haproxy.cfg").write_text(_sample([f"{site.host}:9000" for site in LOOPBACK], "*:8080"))
    imported = yaml.safe_load(run([binary(), "import", "haproxy", tmp_path / "haproxy.cfg"]))
    pins = [pin | {"member": pin["member"].replace("zot-server", "member-")} for pin in imported["cluster"]["pins"]]
    shape = Shape(kind, moto.bucket(f"migrated-{kind.kind}"), settings={"cluster": {"pins": pins}})
    cluster = Cluster(shape, authority, ports, tmp_path / "cluster")
    try:
        cluster.wait_settled()
        _move(cluster, haproxy, figures)
    finally:
        cluster.stop()


def _move(cluster: Cluster, haproxy: HAProxy, figures: list[str]) -> None:
    before = _sample([member.replica.address for member in cluster.members], f"127.0.0.1:{haproxy.port}")
    servers = [f"    server {member.id} {member.sidecar.host}\n" for member in cluster.members]
    admin = cluster.members[0].sidecar.place.admin
    after = _AFTER.format(bind=f"127.0.0.1:{haproxy.port}", admin=admin) + "".join(servers)
    haproxy.start(before)
    with (
        Pushes([haproxy.base], [*RULED, UNRULED], "by-haproxy-") as old,
        Pushes(cluster.bases, RULED, "by-sidecars-") as new,
    ):
        for steps in (None, (after, "sidecars"), (before, "zot-cluster")):
            with old.during(), new.during():
                if steps:
                    haproxy.reload(*steps)
            # As many again, when nothing changes.
            _a_few(old, new)
    for pushes in (old, new):
        for base in cluster.bases:
            assert not pushes.lost(base)
        assert not pushes.failed(), pushes.failed()[:5]
    # A rule and its pin lead to one replica.
    for repository, member in zip(RULED, cluster.members, strict=True):
        assert cluster.touched(repository) == [member]
    kind, done = cluster.shape.kind.kind, len(old.done) + len(new.done)
    figures.append(f"{kind}: {done} pushes by HAProxy and sidecars side by side, there and back; 0 failed, 0 lost")


def _a_few(*all_pushes: Pushes) -> None:
    for pushes in all_pushes:
        wanted = len(pushes.done) + A_FEW
        wait_until("a few pushes", lambda p=pushes, w=wanted: len(p.done) >= w, 4 * WAIT_SECONDS)


def _sample(servers: Sequence[str], bind: str) -> str:
    """zot's, from its frontend on."""
    text = SAMPLE.read_text()
    text = text[text.index("frontend zot") :].replace("*:8080", bind)
    for number, server in enumerate(servers, start=1):
        text = text.replace(f"127.0.0.{number}:9000", server)
    assert len(re.findall(r"use_backend", text)) == len(RULED)
    return text
