"""The steps of a run (tests/steps.sh): one that fails ends the run, in the background too, and nothing stays behind."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lib.deployed import REPOSITORY
from lib.process import attempt, wait_until


def _run(script: str) -> subprocess.CompletedProcess[str]:
    return attempt(["bash", "-c", f"set -euo pipefail; . {REPOSITORY}/tests/steps.sh; {script}"])


def test_steps_are_timed_and_the_background_is_printed() -> None:
    done = _run('beside "quiet work" echo from behind; step "loud work" echo in front; join; times')
    assert done.returncode == 0, done.stderr
    said, table = done.stdout.split("where the time went")
    assert "from behind" in said and "in front" in said
    assert "loud work" in table and "quiet work (in the background)" in table, done.stdout


def test_a_failure_in_the_background_ends_the_run() -> None:
    done = _run('beside "broken work" bash -c "echo why; exit 7"; join; echo NOT REACHED')
    assert done.returncode == 1
    assert "why" in done.stdout and "NOT REACHED" not in done.stdout
    assert "broken work: FAILED (exit status 7)" in done.stderr


def test_a_failure_in_front_ends_what_runs_beside(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    endless = f'beside "endless work" bash -c "echo \\$\\$ >{pid}.new; mv {pid}.new {pid}; sleep 1000"'
    done = _run(f"{endless}; until [[ -e {pid} ]]; do sleep 0.01; done; step broken false; echo NOT REACHED")
    assert done.returncode == 1 and "NOT REACHED" not in done.stdout
    process = Path("/proc") / pid.read_text().strip() / "exe"
    wait_until("the end of what ran beside", lambda: not process.exists(), 10)
