"""`docker compose up` as a user types it: pushes and pulls through every entry, a member that dies, and nothing left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harness.fleet import HAPROXY_PORT, HOLD_SECONDS, MEMBERS, NAME, PORTS, Fleet, pull_words, push_words
from lib import image
from lib.image import Layout
from lib.process import wait_until

ENTRIES = {**PORTS, "haproxy": HAPROXY_PORT}
LAYER_BYTES = (200_000, 300_000)
# After a push was held in vain, and long before a client would have given up.
ANSWER_SECONDS = HOLD_SECONDS + 5


@pytest.fixture(scope="session")
def layout(run_dir: Path) -> Layout:
    return image.build(run_dir / "image", 8, LAYER_BYTES)


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_image_is_pushed_and_pulled_through_every_entry(
    fleet: Fleet, layout: Layout, entry: str, tmp_path: Path
) -> None:
    for owner, repository in fleet.owned(f"by-{entry}").items():
        reference = f"127.0.0.1:{ENTRIES[entry]}/{repository}:image"
        fleet.push(layout, reference)
        fleet.pull(reference, tmp_path / owner).assert_same(layout)


def test_one_name_is_all_three_members(fleet: Fleet, layout: Layout, tmp_path: Path) -> None:
    resolved = fleet.within("haproxy", ["getent", "ahostsv4", "registry"])
    addresses = {line.split()[0] for line in resolved.splitlines()}
    networks = [fleet.inspect(member)["NetworkSettings"]["Networks"] for member in MEMBERS]
    assert addresses == {of["shardlet-test_clients"]["IPAddress"] for of in networks}
    reference = f"{NAME}/by-name:image"
    fleet.within("haproxy", push_words(layout, reference))
    fleet.within("haproxy", pull_words(reference, tmp_path / "pulled"))
    Layout(tmp_path / "pulled").assert_same(layout)


def test_members_trust_each_other_by_certificates_of_their_own(fleet: Fleet) -> None:
    for member in MEMBERS:
        fleet.engine.docker("exec", fleet.container(member), "/usr/local/bin/shardlet", "check")
    keys = {fleet.certificate_file(member, "member.key") for member in MEMBERS}
    assert len(keys) == len(MEMBERS)
    key = {fleet.certificate_file(member, "hash.key") for member in MEMBERS}
    assert len(key) == 1
    assert len(bytes.fromhex(key.pop())) == 16


def test_a_replica_is_reached_through_its_sidecar_alone(fleet: Fleet) -> None:
    for number in (1, 2, 3):
        about = fleet.inspect(f"{fleet.replica}-{number}")["NetworkSettings"]
        assert about["Networks"].keys() == {"shardlet-test_store", f"shardlet-test_replica-{number}"}
        assert not any(about["Ports"].values())
        network = json.loads(fleet.engine.docker("network", "inspect", f"shardlet-test_replica-{number}"))[0]
        neighbours = {fleet.inspect(f"shardlet-{number}")["Id"], fleet.inspect(f"{fleet.replica}-{number}")["Id"]}
        assert network["Containers"].keys() == neighbours


def test_a_dead_member_costs_its_own_repositories_pushes_and_no_pull(
    fleet: Fleet, layout: Layout, figures: list[str], tmp_path: Path
) -> None:
    dead = MEMBERS[1]
    owned = fleet.owned("death")
    for repository in owned.values():
        fleet.push(layout, f"127.0.0.1:{HAPROXY_PORT}/{repository}:image")
    fleet.kill(2)
    left = {entry: port for entry, port in ENTRIES.items() if entry != dead}
    for entry, port in left.items():
        for owner, repository in owned.items():
            fleet.pull(f"127.0.0.1:{port}/{repository}:image", tmp_path / f"{entry}-{owner}").assert_same(layout)
        for owner in MEMBERS:
            if owner != dead:
                fleet.push(layout, f"127.0.0.1:{port}/{owned[owner]}:again")
    for entry, port in left.items():
        answer = fleet.start_upload(port, owned[dead])
        assert answer.status == 503, f"{entry}: {answer}"
        assert int(answer.headers.get("retry-after", 0)) >= 1, f"{entry}: {answer}"
        assert json.loads(answer.body)["errors"][0]["code"] == "UNAVAILABLE", answer
        assert HOLD_SECONDS - 0.5 <= answer.seconds <= ANSWER_SECONDS, f"{entry}: {answer}"
        figures.append(f"a push to a dead owner through {entry}: {answer.status} after {answer.seconds:.1f} s")
    fleet.start(2)
    wait_until(
        "pushes to the member that is back",
        lambda: all(fleet.start_upload(port, owned[dead]).status == 202 for port in ENTRIES.values()),
        30,
    )
    for port in ENTRIES.values():
        fleet.push(layout, f"127.0.0.1:{port}/{owned[dead]}:back")
