"""The commands beside `run`: check, owner, demo; and the metrics page as promtool reads it."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest
from lib.client import Registry
from lib.cluster import Cluster
from lib.process import Process, attempt, run, wait_until
from lib.sidecar import binary

DEMO_START_SECONDS = 60.0
DEMO_END_SECONDS = 10.0
_TO_TRY = re.compile(r"^  ((?:curl|skopeo) .+)$", re.MULTILINE)

# Line → what is wrong on it.
MISTAKES = """\
member: zot-9
listen:
  clients: { address: 0.0.0.0:5000 }
  peers: { address: 0.0.0.0:5443 }
  admin: { address: "127.0.0.1:99000" }
registry:
  adress: 127.0.0.1:5001
cluster:
  hash_key: too short
  placement: rendezvouz
  insecure: true
  members:
    - { id: zot-1, address: zot-1:5443 }
    - { id: zot-1, address: zot-2:5443 }
timeouts: { connect: 2 fortnights }
"""
WRONG_LINES = (1, 5, 7, 9, 10, 14, 15)


def test_check_passes_the_files_that_the_sidecars_run_on(fast_cluster: Cluster) -> None:
    for member in fast_cluster.members:
        run([binary(), "check", member.sidecar.config])


def test_check_names_every_mistake_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(MISTAKES)
    done = attempt([binary(), "check", file])
    assert done.returncode == 1
    said = done.stdout + done.stderr
    missed = [line for line in WRONG_LINES if not re.search(rf"proxy\.yaml:{line}:\d+", said)]
    assert not missed, f"nothing said of lines {missed}:\n{said}"
    assert "address" in said and "rendezvous" in said, f"no suggestion:\n{said}"
    assert "too short" not in said, "a hash key is a secret, even a wrong one"


def test_wrong_usage_is_exit_code_2() -> None:
    assert attempt([binary(), "no-such-command"]).returncode == 2


def test_every_sidecar_names_the_same_owners(fast_cluster: Cluster) -> None:
    names = [f"some/repository-{number}" for number in range(100)]
    answers = [member.sidecar.owners(names) for member in fast_cluster.members]
    assert answers[0] == answers[1] == answers[2]
    assert set(answers[0].values()) == {member.id for member in fast_cluster.members}


def test_promtool_finds_nothing_in_the_metrics(fast_cluster: Cluster, tmp_path: Path) -> None:
    with Registry(fast_cluster.bases) as registry:
        registry.push_image(fast_cluster.repository("metrics"), "v1", [b"layer"])
    for member in fast_cluster.members:
        page = tmp_path / f"{member.id}.prom"
        page.write_text(member.sidecar.metrics())
        with page.open() as stdin:
            checked = subprocess.run(["promtool", "check", "metrics"], stdin=stdin, capture_output=True, text=True)
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", ""), f"{checked}\n{page.read_text()}"


def test_demo_prints_lines_that_work_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    demo = Process("demo", [binary(), "demo"], tmp_path / "demo.log")
    try:
        found = wait_until("the demo to print what to try", lambda: _lines_to_try(demo), DEMO_START_SECONDS)
        assert any(line.startswith("curl") for line in found), demo.text()
        for line in found:
            done = attempt(["bash", "-c", f"cd {tmp_path} && {line}"])
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        demo.signal(signal.SIGINT)
        assert demo.wait(DEMO_END_SECONDS) == 0
    finally:
        demo.stop()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # No proxy.yaml of the checkout is to be found by these commands.
    monkeypatch.chdir(tmp_path)


def _lines_to_try(demo: Process) -> list[str]:
    """Empty until the demo has said its last, which is how to end it."""
    text = demo.text()
    assert demo.exit_code is None, text
    return _TO_TRY.findall(text) if "Ctrl-C" in text else []
