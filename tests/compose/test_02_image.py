"""What is in the image, and who runs it."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

from harness.fleet import MEMBERS, Fleet

# The binary with the demo is about 17 MB of it, and the C library of Debian about 4 MB.
IMAGE_BYTES = 40_000_000
USER = "65532:65532"


def test_the_image_is_small_and_nobody_is_root_in_it(fleet: Fleet, figures: list[str], tmp_path: Path) -> None:
    about = json.loads(fleet.engine.docker("image", "inspect", "shardlet:compose"))[0]
    assert about["Size"] < IMAGE_BYTES
    assert about["Config"]["User"] == USER
    figures.append(f"the image: {about['Size'] / 1e6:.1f} MB, user {about['Config']['User']}")
    saved = tmp_path / "files.tar"
    fleet.engine.docker("export", "--output", saved, fleet.container(MEMBERS[0]))
    with tarfile.open(saved) as tar:
        files = [entry.name for entry in tar if entry.isfile()]
    # Docker puts a few into every container: .dockerenv, dev/console, etc/hosts and the like.
    ours = [name for name in files if name.startswith("usr/")]
    assert [name for name in ours if ".so" not in name] == ["usr/local/bin/shardlet"]


def test_a_member_runs_without_rights_on_a_file_system_that_it_cannot_write(fleet: Fleet, figures: list[str]) -> None:
    for member in MEMBERS:
        host = fleet.inspect(member)["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert not host["Privileged"]
    status = fleet.within(MEMBERS[0], ["cat", f"/proc/{fleet.inspect(MEMBERS[0])['State']['Pid']}/status"])
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert set(fields["Uid"].split()) == {"65532"}
    assert int(fields["CapEff"], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    figures.append("root file system read-only, no capability, no new privileges")


def test_the_health_check_is_the_binary_and_says_why(fleet: Fleet) -> None:
    health = fleet.inspect(MEMBERS[0])["State"]["Health"]
    assert health["Status"] == "healthy"
    assert "ready" in health["Log"][-1]["Output"]
