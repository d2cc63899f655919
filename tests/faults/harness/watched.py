"""The memory of a sidecar while something happens to it."""

from __future__ import annotations

from lib import memory
from lib.cluster import Member

from .scale import MIB


class Watched:
    """The memory of a member's sidecar, from where it stands when the watch begins."""

    def __init__(self, member: Member) -> None:
        self._pid = member.sidecar.process.pid
        self._before = 0
        self.grown = 0

    def __enter__(self) -> Watched:
        memory.reset_peak(self._pid)
        self._before = memory.resident(self._pid)
        return self

    def __exit__(self, *_: object) -> None:
        self.grown = memory.peak(self._pid) - self._before

    def said(self, connections: int) -> str:
        each = f", {self.grown / connections / 1024:.0f} KiB for each connection" if connections else ""
        return f"memory +{self.grown / MIB:.1f} MiB{each}"
