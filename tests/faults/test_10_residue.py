"""What time alone cannot close: a process that is stopped, a replica slower than the grace. Seen and counted."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
import yaml
from conftest import MakeFleet
from harness import open_write
from harness.fleet import Fleet
from harness.grace import BACK_SECONDS, START_SECONDS, pinned_names
from harness.judge import first_write_elsewhere, judge
from harness.table import Row
from harness.writers import Writers
from lib.process import attempt
from lib.sidecar import binary, merged

ROOT = Path(__file__).resolve().parents[2]
REPOSITORIES = 6
AT_WORK = 3
BEYOND_SECONDS = 3.0
# What a push takes whose last byte comes late.
LATE_SECONDS = 0.3
# A question that was answered just before it happened is younger than that.
EARLY_SECONDS = 1.0
NAMES = pinned_names(REPOSITORIES)


@pytest.mark.row(
    29,
    "the owner's sidecar is stopped (SIGSTOP) in pushes for longer than aftermath, and taken off the list",
    "taken over after aftermath (by reloads after twice that, as nothing is refused), not before; nobody ends; "
    "what is lost when it wakes is counted, not excluded",
)
@pytest.mark.parametrize("by", ["reloads", "restarts"])
def test_a_stopped_owner(make_fleet: MakeFleet, row: Row, tmp_path: Path, aftermath: float, by: str) -> None:
    fleet = make_fleet(view=lambda fleet: fleet.view_of(3, pins={"moved": "member-3"}))
    heir, other, owner = fleet.members
    new = fleet.view_of(2, pins={"moved": heir.id})
    grace = 2 * aftermath if by == "reloads" else aftermath
    with Writers(fleet.members, NAMES, tmp_path) as writers:
        writers.wait_for_all(NAMES, 0.0, START_SECONDS)
        late = [open_write.unfinished_manifest(owner, name, LATE_SECONDS) for name in NAMES[:AT_WORK]]
        owner.sidecar.process.signal(signal.SIGSTOP)
        stopped = time.monotonic()
        for member in (heir, other):
            if by == "reloads":
                fleet.reload(member, new)
            else:
                fleet.restart(member, new)
        for member in (heir, other):
            fleet.wait_ready(member)
        # The first clients wait for the one that is stopped.
        with Writers([heir, other], NAMES, tmp_path) as late_writers:
            back = late_writers.wait_for_all(NAMES, stopped, grace + BACK_SECONDS)
            for write in late:
                write.send_rest()
            owner.sidecar.process.signal(signal.SIGCONT)
            for write in late:
                write.finish()
            ended = [member.id for member in fleet.members if member.sidecar.process.exit_code is not None]
            # It is back with a list of its own: as long as it is there, nobody writes what was its.
            owner.sidecar.process.stop()
            gone = time.monotonic()
            again = late_writers.wait_for_all(NAMES, gone, aftermath + BACK_SECONDS)
    _tell(row, fleet, stopped, back, grace)
    row.saw(f"all were taken {again - gone:.2f} s after its end")
    verdict = judge(fleet, [writers, late_writers], late)
    verdict.tell(row)
    assert not ended, ended
    assert not verdict.by_strangers, verdict.by_strangers


@pytest.mark.row(
    30,
    "the owner's sidecar dies, its replica is at a push for longer than aftermath",
    "taken over after aftermath, not before; what is lost is counted, not excluded",
)
def test_a_replica_slower_than_the_grace(make_fleet: MakeFleet, row: Row, tmp_path: Path, aftermath: float) -> None:
    fleet = make_fleet(view=lambda fleet: fleet.view_of(3, pins={"moved": "member-3"}))
    heir, other, owner = fleet.members
    new = fleet.view_of(2, pins={"moved": heir.id})
    with Writers(fleet.members, NAMES, tmp_path) as writers:
        writers.wait_for_all(NAMES, 0.0, START_SECONDS)
        at_work = [open_write.manifest(owner, name, aftermath + BEYOND_SECONDS) for name in NAMES[:AT_WORK]]
        owner.sidecar.process.kill()
        died = time.monotonic()
        for member in (heir, other):
            fleet.reload(member, new)
        back = writers.wait_for_all(NAMES, died, aftermath + BACK_SECONDS)
        open_write.wait_done(at_work, 2 * aftermath)
    _tell(row, fleet, died, back, aftermath)
    verdict = judge(fleet, [writers], at_work)
    verdict.tell(row)
    assert not verdict.by_strangers, verdict.by_strangers


def _tell(row: Row, fleet: Fleet, since: float, back: float, grace: float) -> None:
    begun = first_write_elsewhere(fleet, fleet.members[2], NAMES, since)
    assert begun is not None
    row.saw(f"taken over {begun:.2f} s after, all by {back - since:.2f} s")
    assert begun >= grace - EARLY_SECONDS, "taken over before the grace was over"


@pytest.mark.row(
    31, "probes that may take as long as `timeouts.aftermath`", "`shardlet check` refuses them, and names both"
)
def test_probes_slower_than_the_grace(row: Row, tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    given = yaml.safe_load((ROOT / "proxy.yaml").read_text())
    for interval, timeout, aftermath, good in [
        ("6s", "1s", "5s", False),
        ("4s", "1s", "5s", False),
        ("1s", "4s", "5s", False),
        ("3s", "1s", "5s", True),
        ("29s", "1s", None, False),
        ("28s", "1s", None, True),
    ]:
        probes = {"probes": {"interval": interval, "timeout": timeout}}
        settings = merged(given, merged(probes, {"timeouts": {"aftermath": aftermath or "30s"}}))
        if not aftermath:
            settings["timeouts"].pop("aftermath")
        file.write_text(yaml.safe_dump(settings))
        done = attempt([binary(), "check", "--elsewhere", file])
        said = done.stdout + done.stderr
        row.saw(f"{interval} + {timeout} against {aftermath or 'the default'}: exit code {done.returncode}")
        assert done.returncode == (0 if good else 1), said
        assert good or ("probes.interval" in said and "timeouts.aftermath" in said), said
