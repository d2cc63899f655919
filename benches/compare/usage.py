"""The processes of a contestant and their memory, as the kernel counts it. (CPU time is read by the load itself.)"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")
# Of /proc/PID/stat, counted from the field after the name.
PARENT = 1


def resident_kib(roots: Iterable[int]) -> int:
    """Memory in use; a page that two processes share counts half for each (PSS)."""
    total = 0
    for pid in family(roots):
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


def family(roots: Iterable[int]) -> set[int]:
    """The processes and all that are below them."""
    parents = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                # The name, in brackets, may hold spaces.
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[PARENT])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = set(roots)
    if missing := found - parents.keys():
        raise RuntimeError(f"process {missing} has ended")
    while below := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= below
    return found
