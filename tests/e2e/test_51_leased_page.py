"""The status page of members that hold leases, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lib import sidecar as sidecars
from lib.browser import Browser
from lib.certs import Authority
from lib.cluster import Cluster, Shape
from lib.process import Ports, attempt, run, wait_until
from lib.replica import DockerRegistry
from lib.store import ACCESS_KEY, REGION, SECRET_KEY, Bucket, Directory, Moto

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
# What nobody may see: the credentials, and what every member's file has.
SECRETS = (SECRET_KEY, "sixteen bytes ok", b"sixteen bytes ok".hex())
MANY = 30
# A lease, and what its member's replica is given: nothing, in the tests.
TAKEOVER_SECONDS = 60.0


def _settings(bucket: Bucket) -> dict[str, Any]:
    s3 = {"bucket": bucket.name, "region": REGION, "endpoint": bucket.endpoint}
    return {
        "reload": {"watch": False},
        "probes": {"interval": "500ms"},
        "cluster": {"coordination": {"store": {"s3": s3}}},
    }


@pytest.fixture(scope="module")
def leased(moto: Moto, authority: Authority, ports: Ports, run_dir: Path) -> Iterator[Cluster]:
    settings = _settings(moto.bucket("leased-page"))
    shape = Shape(DockerRegistry, Directory(run_dir / "leased-page-store"), settings=settings, env=ENVIRONMENT)
    cluster = Cluster(shape, authority, ports, run_dir / "leased-page")
    try:
        wait_until("all to be members", lambda: all(_members(one.sidecar) == 3 for one in cluster.members), 60.0)
        cluster.wait_settled()
        yield cluster
    finally:
        cluster.stop()


def test_leases_and_what_has_changed_are_shown(leased: Cluster, browser: Browser, pictures: Path) -> None:
    first, _, third = leased.members
    page = browser.open(first.sidecar.admin_url())
    page.run("window.marked = true")
    page.wait_text("#verdict", "All 3 members answer")
    page.wait_text("#leases", "settled", "a member, and its lease lasts", "s3://leased-page", "level L0", "3 members")
    assert page.text("#members").count(" left") == 3
    assert page.text("#members").count("incarnation") == 3
    before = _incarnation(first.sidecar, third.id)
    browser.shoot_all(first.sidecar.admin_url(), pictures / "leases")

    third.sidecar.process.kill()
    page.wait_text("tr.away", third.id, "taken in")
    browser.shoot_all(first.sidecar.admin_url(), pictures / "leases-down")
    taken = f"{third.id} taken out: nobody renewed the lease"
    page.wait_text("#leases", taken, timeout=TAKEOVER_SECONDS)
    page.wait_text("#verdict", "Both members answer")

    third.sidecar.start_again()
    page.wait_text("#leases", f"{third.id} came", timeout=TAKEOVER_SECONDS)
    wait_until("its next incarnation", lambda: _incarnation(first.sidecar, third.id) > before, TAKEOVER_SECONDS)
    page.wait_text("#members", f"incarnation {_incarnation(first.sidecar, third.id)}")
    assert page.run("window.marked") is True
    assert page.complaints() == []
    page.close()


def test_commands_know_the_members_by_the_running_sidecar(leased: Cluster) -> None:
    first = leased.members[0].sidecar
    binary, config = sidecars.binary(), str(first.config)
    status = run([binary, "status", "--config", config])
    assert "LEASE" in status and "a member of view" in status
    told = json.loads(run([binary, "status", "--config", config, "--format", "json"]))
    assert all(member["lease"]["state"] == "live" for member in told["view"]["members"])
    for secret in SECRETS:
        assert secret not in status and secret not in json.dumps(told)
    names = [leased.repository_of(member, "owned") for member in leased.members]
    owners = run([binary, "owner", "--config", config, *names]).split("\n")
    assert owners[:3] == [f"{name}\t{member.id}" for name, member in zip(names, leased.members, strict=True)]
    plan = json.loads(run([binary, "plan", "--config", config, "--add", "other=other:1", "--format", "json"]))
    assert plan["share_moved"] == pytest.approx(0.25, abs=0.02)
    # No list and no login: what could be looked at is good.
    doctor = attempt([binary, "doctor", "--config", config, "--format", "json"], env=ENVIRONMENT).stdout
    kinds = {finding["id"] for finding in json.loads(doctor)["findings"]}
    assert not kinds & {"lease-lost", "lease-store", "view-unsettled", "modes-differ", "member-unreachable"}


def test_thirty_members_with_leases_fit_on_both_screens(
    moto: Moto, leased: Cluster, authority: Authority, ports: Ports, run_dir: Path, browser: Browser, pictures: Path
) -> None:
    host, directory, bucket = "127.0.0.15", run_dir / "thirty", moto.bucket("thirty")
    directory.mkdir()
    taken = [ports.take(host) for _ in range(3)]
    place = sidecars.Place("registry-00-of-a-fleet", host, *taken)
    trust = sidecars.Trust(authority.ca, authority.issue("thirty", place.id, host), None)
    own = {"cluster": {"address": place.peer_address}}
    settings = sidecars.merged(_settings(bucket), own)
    one = sidecars.Sidecar(place, leased.members[0].replica.address, [], trust, directory, settings, ENVIRONMENT)
    try:
        wait_until("it to be a member", lambda: one.is_ready() and _members(one) == 1, 60.0)
        one.process.stop()
        _add_members(moto, bucket, place.id)
        one.start_again()
        one.wait_ready()
        page = browser.open(one.admin_url())
        page.wait_text("#leases", f"{MANY} members", timeout=TAKEOVER_SECONDS)
        assert page.run("document.querySelectorAll('#members tbody tr').length") == MANY
        page.wait_text("#members", "taken in")
        assert page.complaints() == []
        page.close()
        browser.shoot_all(one.admin_url(), pictures / "thirty")
    finally:
        one.process.stop()
        for port in taken:
            ports.free(port)


def _incarnation(sidecar: sidecars.Sidecar, member: str) -> int:
    """Of its lease, as far as this one knows; 0 if it does not."""
    told = (one for one in sidecar.status()["view"]["members"] if one["id"] == member)
    return next(((one["lease"] or {}).get("incarnation", 0) for one in told), 0)


def _members(sidecar: sidecars.Sidecar) -> int:
    """How many the settled view has, if this is one of them."""
    try:
        status = sidecar.status()
    except OSError:
        return 0
    leases = status["leases"]
    return len(status["view"]["members"]) if leases["member"] and not leases["unsettled"] else 0


def _add_members(moto: Moto, bucket: Bucket, like: str) -> None:
    """Others that have no process: nobody listens there, and nobody renews their leases."""
    s3 = moto.client("s3")

    def read(key: str) -> Any:
        return json.loads(s3.get_object(Bucket=bucket.name, Key=f"shardlet/{key}")["Body"].read())

    def write(key: str, value: Any) -> None:
        s3.put_object(Bucket=bucket.name, Key=f"shardlet/{key}", Body=json.dumps(value).encode())

    view, lease = read("view"), read(f"lease/{like}")
    seats, view["now"]["epoch"] = view["now"]["members"], view["now"]["epoch"] + 1
    for number in range(1, MANY):
        at = {"id": f"registry-{number:02}-of-a-fleet", "address": f"127.0.2.{number}:5443"}
        seats.append(seats[0] | at)
        write(f"lease/{at['id']}", lease | at | {"state": "live", "acked": view["now"]["epoch"]})
    write("view", view)
