"""What processes cost, as the kernel counts it: CPU time and memory, over all threads and children."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
# Of /proc/PID/stat, counted from the field after the name: state is 0.
PARENT, USER, SYSTEM = 1, 11, 12


def cpu_seconds(roots: Iterable[int]) -> float:
    """User and system time of the processes and their children, in seconds."""
    return sum((int(fields[USER]) + int(fields[SYSTEM])) / TICKS for fields in _family(roots).values())


def resident_bytes(roots: Iterable[int]) -> int:
    """Memory in use; a page that two processes share counts half for each (PSS)."""
    return _sum_kib(roots, "smaps_rollup", "Pss:")


def peak_bytes(roots: Iterable[int]) -> int:
    """The most that was in use at a time; pages that forked processes share count for each."""
    return _sum_kib(roots, "status", "VmHWM:")


def _sum_kib(roots: Iterable[int], file: str, key: str) -> int:
    total = 0
    for pid in _family(roots):
        lines = (PROC / str(pid) / file).read_text().splitlines()
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))
    return total


def _family(roots: Iterable[int]) -> dict[int, list[str]]:
    """The fields of stat of each root and each process below it."""
    stats = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                # The name, in brackets, may hold spaces.
                stats[int(entry.name)] = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
    family = set(roots)
    grown = True
    while grown:
        below = {pid for pid, fields in stats.items() if int(fields[PARENT]) in family} - family
        family |= below
        grown = bool(below)
    missing = family - stats.keys()
    if missing:
        raise RuntimeError(f"process {missing} has ended")
    return {pid: stats[pid] for pid in family}
