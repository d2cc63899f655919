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
    """Hands out ports that stay their taker's, until it frees them or the run ends.

    Each is kept bound by a socket that does not listen. So another run that looks finds it taken, and the kernel gives
    it to no connection. A child may bind it all the same: its listener reuses addresses, and so does ours by then.
    """

    FIRST = 10_000

    def __init__(self, within: range | None = None) -> None:
        # Below the range from which the kernel takes ports of its own choice.
        end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        self._range = within or range(self.FIRST, end)
        self._next = os.getpid() * 61 % len(self._range)
        self._held: dict[int, list[socket.socket]] = {}

    def take(self, *hosts: str) -> int:
        """A port that is free on every one of `hosts` (127.0.0.1 when none is named)."""
        for _ in self._range:
            port = self._range[self._next]
            self._next = (self._next + 1) % len(self._range)
            if port not in self._held and (held := _hold(hosts or ("127.0.0.1",), port)):
                self._held[port] = held
                return port
        raise AssertionError("no free port")

    def free(self, port: int) -> None:
        for held in self._held.pop(port):
            held.close()


def _hold(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """Empty if the port is taken on one of the hosts."""
    held: list[socket.socket] = []
    for host in hosts:
        held.append(socket.socket())
        try:
            held[-1].bind((host, port))
        except OSError:
            for one in held:
                one.close()
            return []
        # Only now: before, it would let us bind what somebody else holds in this way.
        held[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return held


def _die_with_parent() -> None:
    # A test run that is killed must not leave registries behind.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
