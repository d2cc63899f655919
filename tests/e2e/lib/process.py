"""Child processes: each logs to a file of its own and is ended through its own handle, never by name.

Every process is also known to `Process.running`, so that a failing test can show what all of them said last.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.05
STOP_GRACE_SECONDS = 10.0
PR_SET_PDEATHSIG = 1
_FOREIGN = re.compile(r"AWS_|SHARDLET_|REGISTRY_|https?_proxy$|all_proxy$", re.IGNORECASE)


class Process:
    """A running child. Its output (both streams) is in `log`."""

    running: ClassVar[list[Process]] = []

    def __init__(self, name: str, argv: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as out:
            self._child = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment(env),
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        Process.running.append(self)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._child.poll()

    def signal(self, number: signal.Signals) -> None:
        self._child.send_signal(number)

    def wait(self, timeout: float) -> int:
        self._child.wait(timeout)
        return self._ended()

    def stop(self, grace: float = STOP_GRACE_SECONDS) -> int:
        """Asks it to end, and ends it by force after `grace` seconds. Returns its exit code."""
        self._child.terminate()
        # One that a test has frozen would not even notice.
        self._child.send_signal(signal.SIGCONT)
        try:
            self._child.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()
        return self._ended()

    def kill(self) -> int:
        self._child.kill()
        self._child.wait()
        return self._ended()

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.text().splitlines()[-lines:])

    def wait_ready(self, ready: Callable[[], bool], timeout: float) -> None:
        """Waits until `ready`; a process that ends before is an error with its last words."""

        def step() -> bool:
            if self.exit_code is not None:
                raise AssertionError(f"{self.name} ended with {self.exit_code} before it was ready:\n{self.tail()}")
            return ready()

        wait_until(f"{self.name} to be ready", step, timeout)

    def _ended(self) -> int:
        if self in Process.running:
            Process.running.remove(self)
        return self._child.returncode


def run(argv: Sequence[str | Path], timeout: float = 120, env: Mapping[str, str] | None = None) -> str:
    """Runs a command to its end and returns its standard output; anything but exit 0 is an error with both streams."""
    done = attempt(argv, timeout, env)
    assert done.returncode == 0, f"{argv} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def attempt(
    argv: Sequence[str | Path], timeout: float = 120, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, whatever its exit code."""
    return subprocess.run(
        [str(word) for word in argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment(env),
        check=False,
    )


def environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    """Ours, without what would configure a child behind the test's back.

    With AWS_CA_BUNDLE set, docker-registry's S3 driver does not even start.
    """
    kept = {name: value for name, value in os.environ.items() if not _FOREIGN.match(name)}
    return kept | dict(extra or {})


def wait_until(what: str, condition: Callable[[], T], timeout: float) -> T:
    """Polls until `condition` gives something true, and returns it."""
    deadline = time.monotonic() + timeout
    while True:
        if found := condition():
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s in vain for {what}")
        time.sleep(POLL_SECONDS)


def accepts(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


class Ports:
    """Hands out free ports below the range from which the kernel takes those of outgoing connections.

    A port of that range can be taken by any connection between our looking and the child's binding.
    """

    FIRST = 10_000

    def __init__(self) -> None:
        end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        self._range = range(self.FIRST, end)
        self._next = os.getpid() * 61 % len(self._range)

    def take(self, *hosts: str) -> int:
        """A port that is free on every one of `hosts` (127.0.0.1 when none is named)."""
        for _ in self._range:
            port = self._range[self._next]
            self._next = (self._next + 1) % len(self._range)
            if all(_is_free(host, port) for host in hosts or ("127.0.0.1",)):
                return port
        raise AssertionError("no free port")


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def _die_with_parent() -> None:
    # A test run that is killed must not leave registries behind.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
