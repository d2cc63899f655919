"""`shardlet doctor`: silent on a good fleet, and each fault that real processes can have is found, alone."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lib.certs import Authority
from lib.client import Registry
from lib.cluster import Cluster, Member, Shape
from lib.doctor import SettableRegistry, SettableZot, config_of, examine, finds, set_up
from lib.document import commands
from lib.process import Ports, attempt
from lib.replica import Place
from lib.sidecar import binary
from lib.store import Directory, Moto

# Each test changes files itself, and says when they are read.
SETTINGS = {"reload": {"watch": False}}
SKEW_SECONDS = 60


@pytest.fixture(scope="module")
def registries(authority: Authority, ports: Ports, run_dir: Path) -> Iterator[Cluster]:
    shape = Shape(SettableRegistry, Directory(run_dir / "doctor-store"), settings=SETTINGS)
    yield from _running(Cluster(shape, authority, ports, run_dir / "doctor"))


@pytest.fixture(scope="module")
def zots(moto: Moto, authority: Authority, ports: Ports, run_dir: Path) -> Iterator[Cluster]:
    if not SettableZot.binary():
        pytest.skip("no zot binary")
    shape = Shape(SettableZot, moto.bucket("doctor"), settings=SETTINGS)
    yield from _running(Cluster(shape, authority, ports, run_dir / "doctor-zot"))


def _running(cluster: Cluster) -> Iterator[Cluster]:
    cluster.wait_settled()
    yield cluster
    cluster.stop()


def test_a_good_fleet_of_registries(registries: Cluster) -> None:
    _is_silent(registries)


def test_a_good_fleet_of_zots(zots: Cluster) -> None:
    _is_silent(zots)


def _is_silent(cluster: Cluster) -> None:
    others = [f"--registry-config={member.id}={config_of(member.replica)}" for member in cluster.members]
    for member in cluster.members:
        done = attempt([binary(), "doctor", "-c", member.sidecar.config, "--write", *others])
        assert (done.returncode, done.stdout, done.stderr) == (0, "nothing found\n", "")
    # It has cleaned up: there is no tag, and what it read is gone.
    with Registry(cluster.bases) as registry:
        for name in registry.expect(200, "GET", "/v2/_catalog").json()["repositories"]:
            if name.startswith("shardlet-doctor/"):
                assert registry.send("GET", f"/v2/{name}/tags/list").json().get("tags") in (None, [])


def test_what_it_cannot_look_at_is_no_finding(registries: Cluster, tmp_path: Path) -> None:
    member = registries.members[0]
    done = attempt([binary(), "doctor", "-c", member.sidecar.config])
    assert done.returncode == 0, done.stdout
    assert "not checked: the replica's configuration: name it by --registry-config\n" in done.stdout
    assert "not checked: whether all replicas share one storage: that takes a push: --write\n" in done.stdout
    assert done.stdout.endswith("\nnothing found\n")
    base = ["doctor", "-c", member.sidecar.config]
    none = tmp_path / "none"
    for wrong in (["doctor", "-c", none], [*base, "--registry-config", none], [*base, "--no-such-flag"]):
        done = attempt([binary(), *wrong])
        assert (done.returncode, done.stdout) == (2, "") and done.stderr, wrong
    other = registries.members[1].sidecar.place
    done = attempt([binary(), "doctor", "-c", member.sidecar.config, "--admin", f"{other.host}:{other.admin}"])
    assert done.returncode == 2
    assert "the sidecar that answers is member-2, and the configuration is that of member-1" in done.stderr


def test_the_commands_of_the_document(registries: Cluster) -> None:
    member = registries.members[0]
    shown = commands("doctor.md", "Run it").splitlines()
    path = f"{Path(binary()).parent}:{os.environ['PATH']}"
    environment = {"SHARDLET_CONFIG": str(member.sidecar.config), "PATH": path}
    for command in shown:
        assert "/etc/zot/config.json" in command
        ours = command.replace("/etc/zot/config.json", str(config_of(member.replica)))
        done = attempt(["bash", "-c", ours], env=environment)
        assert (done.returncode, done.stderr) == (0, ""), f"{command}: {done}"


def test_a_sidecar_that_does_not_run(registries: Cluster) -> None:
    one, two, _ = registries.members
    one.sidecar.process.stop()
    try:
        [found] = finds(one, {("sidecar-unreachable", one.id)})
        assert "nobody listens there" in found["what"]
        [found] = finds(two, {("member-unreachable", one.id)})
        assert "it refuses connections" in found["what"]
    finally:
        one.sidecar.start_again()
        registries.wait_settled()


def test_a_replica_that_is_down(registries: Cluster) -> None:
    one, two, _ = registries.members
    two.replica.process.stop()
    try:
        assert "it refuses connections" in finds(two, {("replica-down", two.id)})[0]["what"]
        assert "its replica is down" in finds(one, {("replica-down", two.id)})[0]["what"]
    finally:
        two.replica.restart()
        registries.wait_settled()


@contextmanager
def _configured(cluster: Cluster, member: Member, settings: Mapping[str, Any]) -> Iterator[None]:
    """One member runs with other settings, and then as before."""
    member.sidecar.configure(settings)
    assert member.sidecar.reload().taken
    try:
        yield
    finally:
        member.sidecar.configure({})
        assert member.sidecar.reload().taken
        cluster.wait_settled()


def test_another_hash_key(registries: Cluster, tmp_path: Path) -> None:
    one, two, three = registries.members
    key = tmp_path / "hash.key"
    key.write_bytes(b"bytes of its own")
    key.chmod(0o600)
    with _configured(registries, two, {"cluster": {"hash_key_file": str(key)}}):
        assert "another hash key" in finds(one, {("hash-key-differs", two.id)})[0]["what"]
        finds(two, {("hash-key-differs", one.id), ("hash-key-differs", three.id)})


def test_another_view(registries: Cluster) -> None:
    one, two, _ = registries.members
    pins = [{"prefix": "team", "member": two.id}]
    with _configured(registries, two, {"cluster": {"pins": pins}}):
        finds(one, {("view-differs", two.id)})


def test_a_file_that_is_not_in_force(registries: Cluster) -> None:
    one = registries.members[0]
    one.sidecar.configure({"cluster": {"pins": [{"prefix": "team", "member": one.id}]}})
    try:
        [found] = finds(one, {("configuration-not-loaded", one.id)})
        assert "it runs with view" in found["what"]
    finally:
        one.sidecar.configure({})
    finds(one, set())


def test_a_clock_that_is_ahead(registries: Cluster) -> None:
    one, two, _ = registries.members
    sidecar, place = two.sidecar, two.sidecar.place
    sidecar.process.stop()
    # Only its calendar: what it measures goes on as everywhere. (The command `faketime` would stay as its parent.)
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    ahead = (f"LD_PRELOAD={library}", f"FAKETIME=+{SKEW_SECONDS}s", "FAKETIME_DONT_FAKE_MONOTONIC=1")
    sidecar.place = dataclasses.replace(place, prefix=("env", *ahead))
    sidecar.start_again()
    try:
        registries.wait_settled()
        [found] = finds(one, {("clock-skew", two.id)})
        assert f"{SKEW_SECONDS} s ahead of" in found["what"] or f"{SKEW_SECONDS - 1} s ahead of" in found["what"]
    finally:
        sidecar.process.stop()
        sidecar.place = place
        sidecar.start_again()
        registries.wait_settled()


def test_a_certificate_near_its_end(registries: Cluster, authority: Authority) -> None:
    two = registries.members[1]
    soon = authority.issue("soon", two.id, two.sidecar.place.host, valid_for=datetime.timedelta(days=13))
    with _configured(registries, two, {"cluster": {"tls": {"cert": str(soon.cert), "key": str(soon.key)}}}):
        [found] = examine(two)["findings"]
        assert (found["id"], found["place"]) == ("certificate-expires", f"certificate of the member ({soon.cert})")


def test_a_replica_that_others_reach(registries: Cluster, ports: Ports) -> None:
    two = registries.members[1]
    replica, place = two.replica, two.replica.place
    port = ports.take("0.0.0.0")
    _move(two, dataclasses.replace(place, host="0.0.0.0", port=port), f"127.0.0.1:{port}")
    try:
        registries.wait_settled()
        told = examine(two)["findings"]
        assert {found["id"] for found in told} == {"replica-reachable"}
        assert any(found["place"].startswith(str(config_of(replica))) for found in told)
        if addresses := _addresses():
            answers = next(found["what"] for found in told if found["place"] == two.id)
            assert all(f"{address}:{port}" in answers for address in addresses)
    finally:
        _move(two, place, f"{place.host}:{place.port}")
        registries.wait_settled()
        ports.free(port)


def _move(member: Member, place: Place, address: str) -> None:
    """Has a replica listen elsewhere, and its sidecar look for it there."""
    member.replica.process.stop()
    member.replica.place = place
    member.replica.restart()
    member.sidecar.configure({"registry": {"address": address}})
    assert member.sidecar.reload().taken


def _addresses() -> list[str]:
    """Of this machine, as others see it."""
    shown = attempt(["ip", "-json", "-4", "address", "show", "scope", "global", "up"])
    return [info["local"] for link in json.loads(shown.stdout) for info in link.get("addr_info", [])]


def test_a_storage_of_its_own(registries: Cluster, tmp_path: Path) -> None:
    one, two, three = registries.members
    with set_up(two, {"storage": {"filesystem": {"rootdirectory": str(tmp_path / "other")}}}):
        registries.wait_settled()
        finds(one, {("storage-differs", two.id)}, "--write")
        finds(two, {("storage-differs", one.id), ("storage-differs", three.id)}, "--write")
        finds(one, set())


@pytest.mark.parametrize(
    ("wanted", "over"),
    [
        ("distribution-secret", {"http": {"secret": None}}),
        ("distribution-cache", {"storage": {"cache": {"blobdescriptor": "inmemory"}}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_registry_that_is_set_up_wrong(registries: Cluster, wanted: str, over: Mapping[str, Any]) -> None:
    _is_found(registries, wanted, over)


def _is_found(cluster: Cluster, wanted: str, over: Mapping[str, Any]) -> None:
    member = cluster.members[0]
    with set_up(member, over):
        cluster.wait_settled()
        finds(member, {(wanted, str(config_of(member.replica)))})


SYNC = {"urls": ["http://127.0.0.1:1"], "tlsVerify": False, "content": [{"prefix": "mirror/**"}]}
ON_DEMAND = {"extensions": {"sync": {"registries": [SYNC | {"onDemand": True}]}}}
PERIODIC = {"extensions": {"sync": {"registries": [SYNC | {"pollInterval": "24h"}]}}}
# zot's binary may come without it, and takes its configuration all the same.
USER_INTERFACE = {"extensions": {"search": {"enable": True}, "ui": {"enable": True}}}
HASH_KEY = "sixteen bytes ok"


@pytest.mark.parametrize(
    ("wanted", "over"),
    [
        ("zot-gc", {"storage": {"gc": True}}),
        ("zot-dedupe", {"storage": {"dedupe": True}}),
        ("zot-cache", {"storage": {"cacheDriver": None, "remoteCache": None, "retention": None}}),
        ("zot-timeouts", {"http": {"readTimeout": None}}),
        ("zot-timeouts", {"http": {"writeTimeout": "60s"}}),
        ("zot-sessions", {"http": {"auth": {"htpasswd": {"path": "HTPASSWD"}}}} | USER_INTERFACE),
        ("sync-on-demand", ON_DEMAND),
        ("sync-periodic-unpinned", PERIODIC),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_zot_that_is_set_up_wrong(zots: Cluster, wanted: str, over: Mapping[str, Any], tmp_path: Path) -> None:
    users = tmp_path / "htpasswd"
    users.write_text("tester:$2b$04$.jycS4LYl4rwwhCHv7GGVuC8xj/LH/DKbhaoe6IltCE5dLshF8S4.\n")
    _is_found(zots, wanted, json.loads(json.dumps(over).replace("HTPASSWD", str(users))))


def test_zots_that_all_sync_by_the_clock(zots: Cluster) -> None:
    one, two, _ = zots.members
    with set_up(one, PERIODIC), set_up(two, PERIODIC):
        zots.wait_settled()
        wanted = {("sync-periodic-several", str(config_of(member.replica))) for member in (one, two)}
        finds(one, wanted, "--registry-config", f"{two.id}={config_of(two.replica)}")
    with _configured(zots, one, {"cluster": {"pins": [{"prefix": "mirror", "member": one.id}]}}), set_up(one, PERIODIC):
        # Pinned, it is safe: what is left is that the others have no such pin.
        finds(one, {("view-differs", member.id) for member in zots.others(one)})


def _block(member: Member, *others: str) -> dict[str, Any]:
    """Its own entry is an address that zot knows for this machine's."""
    return {"cluster": {"members": [f"127.0.0.1:{member.replica.place.port}", *others], "hashKey": HASH_KEY}}


def test_a_zot_with_a_cluster_block(zots: Cluster) -> None:
    one, two, three = zots.members
    replicas = [f"{member.replica.place.host}:{member.replica.place.port}" for member in (two, three)]
    _is_found(zots, "zot-cluster", _block(one, *replicas))
    clients = [f"{member.sidecar.place.host}:{member.sidecar.place.clients}" for member in (two, three)]
    _is_found(zots, "zot-cluster-loop", _block(one, *clients))
    _is_found(zots, "zot-cluster-unsafe", PERIODIC | _block(one, *replicas))


def test_the_block_that_is_exported_is_safe(authority: Authority, moto: Moto, ports: Ports, run_dir: Path) -> None:
    if not SettableZot.binary():
        pytest.skip("no zot binary")
    settings = SETTINGS | {"cluster": {"placement": "zot"}, "reads": {"owner_down": "reject", "blobs": "owner"}}
    shape = Shape(SettableZot, moto.bucket("doctor-sync"), settings=settings)
    cluster = Cluster(shape, authority, ports, run_dir / "doctor-sync")
    try:
        cluster.wait_settled()
        one = cluster.members[0]
        export = [binary(), "export", "zot-cluster", "-c", one.sidecar.config]
        done = attempt([*export, "--registry-config", config_of(one.replica)])
        with set_up(one, PERIODIC | json.loads(done.stdout)[one.id]):
            cluster.wait_settled()
            finds(one, set())
        with set_up(one, ON_DEMAND):
            cluster.wait_settled()
            finds(one, set())
    finally:
        cluster.stop()
