"""Instructions and allocations of a request, as callgrind counts them: of the thread that serves, and of no other."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from lib.process import run

from .pair import WORKS, Pair, with_pair

REQUESTS = 200
# Each figure is the median of so many.
ROUNDS = 5
# Counted per byte, where a processor moves 32 at a time.
MOVES = re.compile(r"_*mem(cpy|p?move|set|pcpy)(_|$)")
# mimalloc's, and the system's for what is not Rust.
ALLOCATORS = re.compile(r"(mi_(heap_)?([mcz]alloc|realloc|rezalloc|new)|(malloc|calloc|realloc|posix_memalign)$)")
WITHIN_ALLOCATOR = re.compile(r"_?mi_|malloc|calloc|realloc")
# What a start allocates, at the very least.
ALLOCATIONS_OF_START = 1000
# callgrind marks a function that calls itself, so that its calls are told apart.
RECURSION = re.compile(r"'\d+$")


@dataclass
class Counted:
    """By function, without what it calls; of calls, by who calls whom."""

    instructions: Counter[str] = field(default_factory=Counter)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def all_instructions(self) -> int:
        return self.instructions.total()

    @property
    def without_moves(self) -> int:
        return sum(count for name, count in self.instructions.items() if not MOVES.match(name))

    @property
    def allocations(self) -> int:
        return sum(
            count
            for (caller, called), count in self.calls.items()
            if ALLOCATORS.match(called) and not WITHIN_ALLOCATOR.match(caller)
        )


def measure(directory: Path, *, by_leases: bool = False) -> dict[tuple[str, str, str], dict[str, float]]:
    """Of each request, repository and member, what one costs there."""
    seen: dict[tuple[str, str, str], dict[str, float]] = {}

    def tool(member: str) -> Sequence[str]:
        out = directory / f"{member}.callgrind"
        # Names in full, wherever they come.
        plain = ("--compress-strings=no", "--compress-pos=no")
        return ("valgrind", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={out}", *plain)

    def use(pair: Pair) -> None:
        for name in pair.members:
            start = _dump(pair, directory, name, "start")
            _recognised(sum(counted.allocations for counted in start), start)
        for what, repository in WORKS:
            rounds = [_round(pair, directory, what, repository) for _ in range(ROUNDS)]
            for name in pair.members:
                per_figure = {figure: [one[name][figure] for one in rounds] for figure in rounds[0][name]}
                seen[what, repository, name] = {figure: median(values) for figure, values in per_figure.items()}

    with_pair(directory, tool, use, by_leases=by_leases)
    return seen


def _round(pair: Pair, directory: Path, what: str, repository: str) -> dict[str, dict[str, float]]:
    """By member and figure. What is not a request's is the same for few and for many, and falls out."""
    counted = {}
    for times in (1, 3):
        for name in pair.members:
            _dump(pair, directory, name, "between")
        pair.client.ask(what, repository, times * REQUESTS)
        for name in pair.members:
            threads = _dump(pair, directory, name, repository)
            counted[name, times] = max(threads, key=lambda thread: thread.all_instructions)
    return {
        name: {
            "instructions": (counted[name, 3].without_moves - counted[name, 1].without_moves) / (2 * REQUESTS),
            "allocations": (counted[name, 3].allocations - counted[name, 1].allocations) / (2 * REQUESTS),
        }
        for name in pair.members
    }


def _dump(pair: Pair, directory: Path, member: str, hint: str) -> list[Counted]:
    """What each thread of a member has done since the last one."""
    before = set(directory.glob(f"{member}.callgrind.*"))
    run(["callgrind_control", f"--dump={hint}", str(pair.members[member].process.pid)])
    return [parse(file) for file in set(directory.glob(f"{member}.callgrind.*")) - before]


def parse(file: Path) -> Counted:
    counted, function, called = Counted(), "", ""
    with file.open() as lines:
        for line in _meant(lines):
            if line.startswith("fn="):
                function = _name(line)
            elif line.startswith("cfn="):
                called = _name(line)
            elif line.startswith("calls="):
                counted.calls[function, called] += int(line.removeprefix("calls=").split()[0])
                # What the call cost is on the next line, and is the other function's.
                next(lines)
            elif line[0].isdigit():
                counted.instructions[function] += int(line.split()[1])
    return counted


def _meant(lines: Iterator[str]) -> Iterator[str]:
    return (line for line in lines if line.strip())


def _name(line: str) -> str:
    return RECURSION.sub("", line.split("=", 1)[1].strip())


def _recognised(allocations: int, start: Sequence[Counted]) -> None:
    """A count of nothing must not pass for a good one."""
    assert allocations > ALLOCATIONS_OF_START, (
        f"a start has {allocations} allocations: the allocator's functions are called something else, or the "
        "binary was stripped of its symbols"
    )
    assert any(MOVES.match(name) for counted in start for name in counted.instructions), (
        "memcpy is not recognised: install libc6-dbg (bash tests/run.sh --packages)"
    )
