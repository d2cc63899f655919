"""deploy/certificates.sh: one certificate for all members, and what it makes again."""

from __future__ import annotations

from pathlib import Path

import pytest
from lib.certs import Pair
from lib.deployed import DEPLOY
from lib.process import Ports, attempt, run, wait_until
from lib.sidecar import Place, Sidecar, Trust, binary

SCRIPT = DEPLOY / "certificates.sh"
MADE = {"ca.crt", "ca.key", "tls.crt", "tls.key", "hash.key"}


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


def _asked(member: Sidecar, series: str) -> bool:
    assert member.process.exit_code is None, f"{binary()}:\n{member.process.tail()}"
    try:
        return member.metric(series) == 1.0
    except OSError:
        return False
