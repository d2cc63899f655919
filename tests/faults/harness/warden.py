"""What stands beside replicas: it starts them again, and ends those whose sidecar is gone or stopped, as a pod does.

At level L1 a replica ends with its sidecar (`cluster.coordination.replica_ends_with_sidecar`), and a sidecar that lives
has it killed by a command (`replica_kill`), which is the script below.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from lib.cluster import Member
from lib.process import Process, wait_until
from lib.replica import Replica

LOOK_SECONDS = 0.02
# A sidecar may be stopped for so long.
STOPPED_SECONDS = 0.5
UP_SECONDS = 20.0
# Kills the process that the file names, and waits until its death was noted: by then the file names another, or none. Ours
# is known by a file of its command line, since a number may be another process's by now.
KILL = """
pid=$(cat "$1") && grep -qa -- "$2" "/proc/$pid/cmdline" && kill -KILL "$pid"
for _ in $(seq 200); do [ "$(cat "$1" 2>/dev/null)" != "$pid" ] && exit 0; sleep 0.02; done
exit 1
"""


class Warden:
    """Runs until `stop`."""

    def __init__(self, directory: Path, *, ends_with_sidecar: bool) -> None:
        self._directory, self._ends_with_sidecar = directory, ends_with_sidecar
        self._lock = threading.RLock()
        self._members: list[Member] = []
        # Of these sidecars the replica was ended already: for this process, or for this stop. Not by their numbers, which
        # others have after them.
        self._dealt_with: set[Process] = set()
        self._stopped_since: dict[Process, float] = {}
        # When replicas have died: what they were at was cut.
        self.killed_at: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def watch(self, member: Member) -> None:
        with self._lock:
            self._members.append(member)

    def note_start(self, replica: Replica) -> None:
        self._file(replica).write_text(str(replica.process.pid))

    def kill_command(self, replica: Replica) -> Sequence[str]:
        """For `replica_kill`."""
        return ["/bin/sh", "-c", KILL, "kill", str(self._file(replica)), f"{replica.name}[.]"]

    def wait_dealt_with(self, member: Member) -> None:
        """Until the replica of a sidecar that has ended is another one: both start anew together."""
        if self._ends_with_sidecar:
            process = member.sidecar.process
            wait_until(f"{member.replica.name} to end with its sidecar", lambda: process in self._dealt_with, UP_SECONDS)
        member.replica.wait_ready()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            with self._lock:
                for member in self._members:
                    self._look(member)

    def _look(self, member: Member) -> None:
        replica = member.replica
        sidecar = member.sidecar.process
        if replica.process.exit_code is None and self._ends_with_sidecar and self._is_to_end(sidecar):
            self._bury(replica)
            self._dealt_with.add(sidecar)
        elif replica.process.exit_code is not None:
            self._bury(replica)

    def _is_to_end(self, sidecar: Process) -> bool:
        if sidecar.exit_code is not None:
            return sidecar not in self._dealt_with
        if _is_stopped(sidecar.pid):
            since = self._stopped_since.setdefault(sidecar, time.monotonic())
            return sidecar not in self._dealt_with and time.monotonic() - since > STOPPED_SECONDS
        # It may be stopped another time.
        if self._stopped_since.pop(sidecar, None):
            self._dealt_with.discard(sidecar)
        return False

    def _bury(self, replica: Replica) -> None:
        self.killed_at.append(time.monotonic())
        replica.process.kill()
        replica.note_death()
        self._file(replica).unlink(missing_ok=True)
        replica.start_again()
        self.note_start(replica)

    def _file(self, replica: Replica) -> Path:
        return self._directory / f"{replica.name}.pid"


def _is_stopped(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    return False
