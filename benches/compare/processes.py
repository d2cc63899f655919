"""Processes on free loopback ports, pinned to CPUs, each ended by its own id."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

START_SECONDS = 20
END_SECONDS = 10
ASK_AGAIN_SECONDS = 0.002


class Process:
    """One program; its output goes to `log`, what it says on stdout to nowhere."""

    started: ClassVar[list[Process]] = []

    def __init__(self, command: Sequence[str | Path], log: Path, cpus: set[int]) -> None:
        self._log = log
        self._since = time.monotonic()
        with log.open("ab") as errors:
            self._child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                # Threads that are made for each CPU are made for these alone.
                preexec_fn=lambda: os.sched_setaffinity(0, cpus),
            )
        self.pid = self._child.pid
        Process.started.append(self)

    def wait_until(self, ready: Callable[[], bool]) -> float:
        """Milliseconds from the start until it is ready."""
        until = time.monotonic() + START_SECONDS
        while not ready():
            if self._child.poll() is not None or time.monotonic() > until:
                said = self._log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self._child.args[0]} is not ready:\n{said}")
            time.sleep(ASK_AGAIN_SECONDS)
        return (time.monotonic() - self._since) * 1000

    @classmethod
    def end_all(cls) -> None:
        """Ends whatever was started and has not ended, so also what never became ready."""
        for process in cls.started:
            process._child.terminate()
        for process in cls.started:
            process.end()

    def end(self) -> None:
        # Idle connections of other contestants must not hold up a drain.
        self._child.terminate()
        try:
            self._child.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; all are held until all are known, so they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in held]
    for listener in held:
        listener.close()
    return ports
