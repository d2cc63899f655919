"""A Docker engine of our own: started by hand, in namespaces of its own, so that it leaves nothing when it ends.

Its bridges and firewall rules are in its own network namespace, its mounts in its own mount namespace, and all its
containers end with its process namespace. No service of the machine is touched, and no image is pulled.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lib.process import Process, attempt, run, wait_until

START_SECONDS = 60.0
END_SECONDS = 20.0
COMMAND_SECONDS = 300.0
_CGROUPS = Path("/sys/fs/cgroup")
# $1: the socket, $2: the cgroup. A /run of its own hides the machine's containerd from it, and has room for what it
# stores: memory that is free again at once, where removing as many files from a disk took 40 seconds.
_START = """
set -e
ip link set lo up
mount -t tmpfs -o size=4g none /run
exec dockerd --host "unix://$1" --data-root /run/data --exec-root /run/docker --pidfile /run/docker.pid --cgroup-parent "/$2"
"""
_NAMESPACES = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


class Impossible(Exception):
    """No engine can be started here, and why."""


class Engine:
    """A running dockerd. `stop` ends it with everything that it has started or stored."""

    def __init__(self, log: Path) -> None:
        if os.geteuid() != 0:
            raise Impossible("it takes root")
        if not shutil.which("dockerd"):
            raise Impossible("no dockerd on PATH")
        # Short: the path of a Unix socket may have 107 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="shardlet-docker-", dir="/tmp"))
        self._socket = self._folder / "docker.sock"
        self._cgroup = self._folder.name
        script = ["sh", "-c", _START, "sh", self._socket, self._cgroup]
        self.process = Process("dockerd", ["unshare", *_NAMESPACES, *script], log)
        try:
            self.process.wait_ready(self._answers, START_SECONDS)
        except AssertionError as why:
            self.stop()
            raise Impossible(str(why)) from why

    @property
    def host(self) -> str:
        return f"unix://{self._socket}"

    def docker(self, *words: str | Path, timeout: float = COMMAND_SECONDS) -> str:
        return run(["docker", "--host", self.host, *words], timeout)

    def try_docker(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Whatever its exit code."""
        return attempt(["docker", "--host", self.host, *words], COMMAND_SECONDS)

    def inside(self, command: Sequence[str | Path]) -> list[str | Path]:
        """The command, as it is run on the engine's network, where published ports are."""
        return ["nsenter", f"--net=/proc/{self.process.pid}/ns/net", *command]

    def stop(self) -> None:
        """Kills dockerd, the first process of its namespace, with which all others end; `unshare` then ends by itself."""
        if self.process.exit_code is None:
            pid = self.process.pid
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)
        self.process.wait(END_SECONDS)
        wait_until("the engine's cgroups to be empty", self._removed, END_SECONDS)
        shutil.rmtree(self._folder)

    def _answers(self) -> bool:
        return self._socket.exists() and self.try_docker("version").returncode == 0

    def _removed(self) -> bool:
        """A container that is just ending is still in its cgroup."""
        try:
            for group in _CGROUPS.glob(f"*/{self._cgroup}"):
                _remove_cgroup(group)
            _remove_cgroup(_CGROUPS / self._cgroup)
        except OSError:
            return False
        return True


def _remove_cgroup(group: Path) -> None:
    """Deepest first; the files in a cgroup are none that could be removed."""
    if group.is_dir():
        for below in group.iterdir():
            if below.is_dir():
                _remove_cgroup(below)
        group.rmdir()
