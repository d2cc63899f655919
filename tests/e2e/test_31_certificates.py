"""deploy/certificates.sh, and docs/certificates.md with its commands."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from lib.certs import Pair
from lib.deployed import DEPLOY
from lib.document import commands
from lib.process import Ports, attempt, run, wait_until
from lib.pushes import Pushes
from lib.replica import DockerRegistry
from lib.replica import Place as ReplicaPlace
from lib.sidecar import Place, Sidecar, Trust, binary
from lib.store import Directory

SCRIPT = DEPLOY / "certificates.sh"
MADE = {"ca.crt", "ca.key", "tls.crt", "tls.key", "hash.key"}
DOCUMENT = "certificates.md"
# Of docs/certificates.md, on loopback addresses of their own.
MEMBERS = {"zot-1": "127.0.0.21", "zot-2": "127.0.0.22", "zot-3": "127.0.0.23"}
TAKEN_SECONDS = 30.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the script is run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_members_trust_each_other_by_one_certificate(folder: Path, ports: Ports) -> None:
    hosts = {"zot-0": "127.0.0.21", "zot-1": "127.0.0.22"}
    run(["bash", SCRIPT, *hosts])
    assert {file.name for file in folder.iterdir()} >= MADE
    clients, peers, admin = (ports.take(*hosts.values()) for _ in range(3))
    places = [Place(name, host, clients, peers, admin) for name, host in hosts.items()]
    trust = Trust(folder / "ca.crt", Pair(folder / "tls.crt", folder / "tls.key"), None)
    # Their replicas are not there: members answer each other all the same.
    members = [Sidecar(place, "127.0.0.1:1", places, trust, folder) for place in places]
    try:
        for member, other in zip(members, reversed(places), strict=True):
            series = f'shardlet_peer_view_same{{member="{other.id}"}}'
            wait_until(f"{member.place.id} to hear {other.id}", lambda m=member, s=series: _asked(m, s), 30)
    finally:
        for member in members:
            member.process.stop()


def test_another_certificate_keeps_authority_and_key(folder: Path) -> None:
    run(["bash", SCRIPT, "zot-0"])
    before = {name: (folder / name).read_bytes() for name in MADE}
    run(["bash", SCRIPT, "zot-0", "zot-1.example", "10.0.0.1", "2001:db8::1"])
    after = {name: (folder / name).read_bytes() for name in MADE}
    assert {name for name in MADE if before[name] != after[name]} == {"tls.crt", "tls.key"}
    run(["openssl", "verify", "-CAfile", "ca.crt", "-purpose", "sslserver", "tls.crt"])
    run(["openssl", "verify", "-CAfile", "ca.crt", "-purpose", "sslclient", "tls.crt"])
    names = run(["openssl", "x509", "-in", "tls.crt", "-noout", "-ext", "subjectAltName"])
    assert "DNS:zot-0, DNS:zot-1.example, IP Address:10.0.0.1, IP Address:2001:DB8:0:0:0:0:0:1" in names
    for secret in ("ca.key", "tls.key", "hash.key"):
        assert (folder / secret).stat().st_mode & 0o077 == 0
    assert len(after["hash.key"]) == 16


def test_without_names_it_says_how(folder: Path) -> None:
    done = attempt(["bash", SCRIPT])
    assert (done.returncode, done.stdout) == (2, "")
    assert "bash deploy/certificates.sh NAME..." in done.stderr
    assert not list(folder.iterdir())


@pytest.fixture
def secrets(folder: Path) -> Path:
    """As the document's first commands leave it, beside deploy/."""
    shutil.copytree(DEPLOY, folder / "deploy")
    run(["bash", "-ec", commands(DOCUMENT, "One for all members")])
    return folder / "secrets"


@pytest.fixture
def fleet(secrets: Path, ports: Ports, tmp_path: Path) -> Iterator[list[Sidecar]]:
    """Three members with a folder for their certificates each, before one registry."""
    at_replica = ReplicaPlace("127.0.0.1", ports.take(), tmp_path)
    replica = DockerRegistry("replica", at_replica, Directory(tmp_path / "store"), relative_urls=True)
    shutil.copy(secrets / "hash.key", tmp_path)
    clients, peers, admin = (ports.take(*MEMBERS.values()) for _ in range(3))
    places = [Place(name, host, clients, peers, admin) for name, host in MEMBERS.items()]
    members: list[Sidecar] = []
    try:
        replica.wait_ready()
        for place in places:
            at = tmp_path / place.id
            at.mkdir()
            _install(secrets, at, ca="ca.crt", pair=True)
            trust = Trust(at / "ca.crt", Pair(at / "tls.crt", at / "tls.key"), None)
            members.append(Sidecar(place, replica.address, places, trust, tmp_path))
        for member in members:
            member.wait_ready()
        yield members
    finally:
        for member in members:
            member.process.stop()
        replica.process.stop()


def test_a_renewed_certificate_and_another_authority_cost_no_push(
    secrets: Path, fleet: list[Sidecar], tmp_path: Path
) -> None:
    folders = [tmp_path / member.place.id for member in fleet]
    names = [f"certified/{number}" for number in range(64)]
    owners = fleet[0].owners(names)
    repositories = [next(name for name in names if owners[name] == member) for member in MEMBERS]
    with Pushes([member.base for member in fleet], repositories) as pushes:
        with pushes.during() as renewed:
            _carry_out("Renew", secrets)
            for member, at in zip(fleet, folders, strict=True):
                _taken(member, secrets, at, pair=True)
        _carry_out("Another authority", secrets)
        with pushes.during() as changed:
            for member, at in zip(fleet, folders, strict=True):
                _taken(member, secrets, at, ca="both.crt")
            for member, at in zip(fleet, folders, strict=True):
                _taken(member, secrets, at, pair=True)
            for member, at in zip(fleet, folders, strict=True):
                _taken(member, secrets, at, ca="ca.crt")
        # Every connection between members is a new one after this, and goes by the new authority alone.
        restarts = time.monotonic()
        for member in fleet:
            member.process.stop()
            member.start_again()
            member.wait_ready()
        with pushes.during() as after:
            pass
    assert renewed and changed and {push.status for push in after[-3:]} == {201}
    assert not [push for push in pushes.failed() if push.ended < restarts]
    assert (secrets / "hash.key").read_bytes() == (tmp_path / "hash.key").read_bytes()


def test_certificates_of_their_own_and_what_is_to_be_seen_of_them(secrets: Path) -> None:
    shutil.copy(secrets / "ca.crt", secrets / "before.crt")
    members = [{"id": name, "address": f"{name}:5443"} for name in MEMBERS]
    tls = {"ca": "ca.crt", "cert": "tls.crt", "key": "tls.key"}
    cluster = {"hash_key_file": "hash.key", "tls": tls, "members": members}
    (secrets / "proxy.yaml").write_text(yaml.safe_dump({"member": "zot-1", "cluster": cluster}))
    seen = _carry_out("Look at what you have", secrets)
    assert "proxy.yaml is fine" in seen and "tls.crt: OK" in seen and "notAfter=" in seen
    assert all(f"DNS:{name}" in seen for name in MEMBERS) and "TLS Web Client Authentication" in seen
    _carry_out("One for each member", secrets)
    for name in MEMBERS:
        printed = run(["openssl", "x509", "-in", secrets / name / "tls.crt", "-noout", "-ext", "subjectAltName"])
        assert f"DNS:{name}\n" in printed
        run(["openssl", "verify", "-CAfile", secrets / "before.crt", secrets / name / "tls.crt"])


def _carry_out(section: str, folder: Path) -> str:
    script = f'shardlet() {{ "$SHARDLET" "$@"; }}\ncd {folder}\n{commands(DOCUMENT, section)}'
    return run(["bash", "-ec", script], env={"SHARDLET": str(Path(binary()).resolve())})


def _install(secrets: Path, at: Path, *, ca: str | None = None, pair: bool = False) -> None:
    """Onto a member's machine, each file at once."""
    files = {ca: "ca.crt"} if ca else {}
    for source, name in (files | ({"tls.key": "tls.key", "tls.crt": "tls.crt"} if pair else {})).items():
        shutil.copy(secrets / source, at / f"{name}.new")
        (at / f"{name}.new").rename(at / name)


def _taken(member: Sidecar, secrets: Path, at: Path, *, ca: str | None = None, pair: bool = False) -> None:
    """Waits until the member says that it has taken what was installed."""
    series = 'shardlet_tls_reloads_total{certificate="member",result="ok"}'
    before = member.metric(series)
    _install(secrets, at, ca=ca, pair=pair)
    wait_until(f"{member.place.id} to take it", lambda: member.metric(series) > before, TAKEN_SECONDS)


def _asked(member: Sidecar, series: str) -> bool:
    assert member.process.exit_code is None, f"{binary()}:\n{member.process.tail()}"
    try:
        return member.metric(series) == 1.0
    except OSError:
        return False
