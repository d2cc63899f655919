"""System calls of a request, as strace sees them: of the thread that serves, and of no other."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .pair import WORKS, Pair, with_pair

REQUESTS = 100
WORKER = "worker-0"
# `TID SECONDS NAME(DESCRIPTOR<WHAT IT IS>`, as -ttt and -yy write it. The end of a call that another thread broke into
# looks otherwise, so that no call is counted twice.
CALL = re.compile(r"(?P<thread>\d+) +(?P<when>[\d.]+) (?P<name>\w+)\(\d+<(?P<kind>TCP|UNIX|anon_inode:\[eventfd)")
KINDS = {"TCP": "socket_calls", "UNIX": "socket_calls", "anon_inode:[eventfd": "wakes"}


def measure(directory: Path) -> dict[tuple[str, str, str], dict[str, float]]:
    """Of each request, repository and member, what one costs there."""
    asked: dict[tuple[str, str, int], tuple[float, float]] = {}
    threads: dict[str, str] = {}

    def tool(member: str) -> Sequence[str]:
        # -D: the member is our child, and strace its.
        return ("strace", "-D", "-f", "-ttt", "-yy", "-s", "0", "-o", str(directory / f"{member}.strace"))

    def use(pair: Pair) -> None:
        for what, repository in WORKS:
            for times in (1, 3):
                begin = time.time()
                pair.client.ask(what, repository, times * REQUESTS)
                asked[what, repository, times] = (begin, time.time())
        for name, member in pair.members.items():
            threads[name] = _worker(member.process.pid)

    with_pair(directory, tool, use)
    seen: dict[tuple[str, str, str], dict[str, float]] = {}
    for name, thread in threads.items():
        for what, repository in WORKS:
            counts = seen.setdefault((what, repository, name), {"socket_calls": 0, "wakes": 0})
            for kind, when in _calls(directory / f"{name}.strace", thread):
                for times in (1, 3):
                    begin, end = asked[what, repository, times]
                    if begin <= when <= end:
                        # What is not a request's is in both, and falls out.
                        counts[kind] += (1 if times == 3 else -1) / (2 * REQUESTS)
    return seen


def _worker(process: int) -> str:
    tasks = Path(f"/proc/{process}/task").iterdir()
    (worker,) = [task.name for task in tasks if (task / "comm").read_text().strip() == WORKER]
    return worker


def _calls(file: Path, thread: str) -> Iterator[tuple[str, float]]:
    with file.open() as lines:
        for line in lines:
            found = CALL.match(line)
            if found and found["thread"] == thread:
                yield KINDS[found["kind"]], float(found["when"])
