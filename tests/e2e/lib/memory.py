"""What a process holds in memory, as the kernel counts it."""

from __future__ import annotations

import re
from pathlib import Path

MIB = 1 << 20
_RESET_PEAK = "5"


def resident(pid: int) -> int:
    """Bytes resident now."""
    return _field(pid, "VmRSS")


def own(pid: int) -> int:
    """The same without what files are mapped, such as the program itself."""
    return _field(pid, "RssAnon")


def peak(pid: int) -> int:
    """The most bytes that were resident since the start, or since `reset_peak`."""
    return _field(pid, "VmHWM")


def reset_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text(_RESET_PEAK)


def _field(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    assert match, f"no {name} in the status of {pid}"
    return int(match[1]) * 1024
