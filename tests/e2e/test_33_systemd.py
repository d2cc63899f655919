"""deploy/systemd: a unit that systemd takes without a word, and that may do little."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from lib.deployed import DEPLOY, REPOSITORY
from lib.process import attempt, run
from lib.sidecar import binary

UNIT = DEPLOY / "systemd" / "shardlet.service"
MOST_EXPOSURE = 2.0


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit over the program under test, which is installed nowhere."""
    program = tmp_path / "shardlet"
    shutil.copy(binary(), program)
    text = UNIT.read_text()
    assert text.count("/usr/bin/shardlet ") == 2, "to start and to reload"
    file = tmp_path / "shardlet.service"
    file.write_text(text.replace("/usr/bin/shardlet ", f"{program} "))
    return file


def _verified(unit: Path) -> str:
    """What systemd has to say about it. (It is no failure for systemd to pass over a line that it does not know.)"""
    done = attempt(["systemd-analyze", "verify", "--man=no", unit])
    return done.stdout + done.stderr


def test_systemd_takes_the_unit(unit: Path) -> None:
    assert _verified(unit) == ""


def test_systemd_finds_a_mistake(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchdogSecs="))
    assert "Unknown key" in _verified(unit)


def test_the_drop_in_of_the_document_is_taken(unit: Path) -> None:
    text = (REPOSITORY / "docs" / "install.md").read_text()
    [drop_in] = re.findall(r"^```ini\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    unit.write_text(unit.read_text() + drop_in.replace("/usr/bin/shardlet ", f"{unit.parent}/shardlet "))
    assert _verified(unit) == ""


def test_the_unit_may_do_little(unit: Path, figures: list[str]) -> None:
    said = run(["systemd-analyze", "security", "--offline=true", unit])
    found = re.search(r"Overall exposure level for shardlet\.service: (\d+\.\d+)", said)
    assert found, said
    figures.append(f"exposure of shardlet.service by systemd-analyze security: {found[1]} of 10")
    assert float(found[1]) < MOST_EXPOSURE


def test_the_unit_goes_by_what_the_program_tells() -> None:
    lines = UNIT.read_text().splitlines()
    for line in ("Type=notify", "NotifyAccess=main", "WatchdogSec=30s", "Restart=on-failure"):
        assert line in lines
    # The program looks at /proc/sys/kernel/random/boot_id and /proc/uptime for cluster.state.
    assert not any(line.startswith("ProcSubset=") for line in lines)


def test_the_configuration_beside_it_passes_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(["bash", DEPLOY / "certificates.sh", "zot-1", "zot-2", "zot-3"])
    shutil.copy(DEPLOY / "systemd" / "proxy.yaml", tmp_path)
    done = attempt([binary(), "check", "--strict", "--member", "zot-1", "proxy.yaml"])
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
