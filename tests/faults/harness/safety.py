"""What a run with leases has done, counted from the clients', the replicas' and the store's own records, and the report."""

from __future__ import annotations

import datetime
import os
import platform
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .history import NOTHING, Operation, violations
from .judge import SHOWN, Verdict, judge
from .leased import LeasedFleet
from .open_write import OpenWrite
from .shared_index import index_of
from .shipped import Shipped
from .table import Row, in_order
from .writers import CREATED, Push, Writers

# Rows from this one on are about leases: they stand in a report of their own.
FIRST_ROW = 50
# What an answer may take after what it was cut by.
CUT_SECONDS = 1.5
# The moment that is noted is that exact.
AT_ONCE_SECONDS = 0.2
HEAD = """# Safety report

What was done to fleets that hold leases, and what was seen. The command that ran it has written all of this document. What is promised, and under which assumptions, is in
[safety.md](safety.md); how things are broken, and how writes are counted, in [faults.md](faults.md).

- **acknowledged**: pushes that were answered 201. **lost**: of these, the ones whose tag is not in the index at the end.
- **overlaps**: two writes of one repository by two replicas at one time, by the replicas' own logs.
- **unexplained**: of all pushes and pulls of tags that are pushed again and again, what no order of them explains.
- **failed**: what a client has to tell its user, by status and reason. Where an address refuses, clients try the next one.
- **fences**: leases that were taken from a member, by the store's own log. **gap**: the longest time in which a repository
  took no push. **–**: not counted in that row.
"""
NOT_COUNTED = "–"


@dataclass
class Counts:
    acknowledged: int = 0
    lost: int = 0
    writes: int = 0
    overlaps: int = 0
    pulls: int = 0
    operations: int = 0
    unexplained: int = 0
    fences: int = 0
    gap: float = 0.0
    failed: Counter[str] = field(default_factory=Counter)

    def cells(self) -> list[str]:
        failed = ", ".join(f"{count} × {kind}" for kind, count in self.failed.most_common()) or "0"
        return [
            str(self.acknowledged),
            str(self.lost),
            f"{self.overlaps} of {self.writes}" if self.writes else NOT_COUNTED,
            f"{self.unexplained} of {self.operations}" if self.operations else NOT_COUNTED,
            failed,
            str(self.fences),
            f"{self.gap:.1f} s" if self.operations else NOT_COUNTED,
        ]


@dataclass(frozen=True)
class Found:
    verdict: Verdict
    unexplained: list[str]
    in_store: list[str]
    # Of pushes and of pulls, without those that were cut by what was done.
    failed_pushes: list[Push]
    failed_pulls: list[Push]

    def assert_safe(self) -> None:
        self.verdict.assert_one_writer()
        assert not self.unexplained, f"{len(self.unexplained)} things that no order explains: {self.unexplained[:SHOWN]}"
        assert not self.in_store, self.in_store[:SHOWN]

    def assert_unharmed(self) -> None:
        """And no client has seen anything of it."""
        self.assert_safe()
        self.assert_pulls()
        assert not self.failed_pushes, f"{len(self.failed_pushes)} pushes failed: {self.failed_pushes[:SHOWN]}"

    def assert_pulls(self) -> None:
        assert not self.failed_pulls, f"{len(self.failed_pulls)} pulls failed: {self.failed_pulls[:SHOWN]}"


def found(
    row: Row,
    counts: Counts,
    fleet: LeasedFleet,
    clients: Sequence[Writers],
    others: Iterable[OpenWrite] = (),
    cut_at: Sequence[float] = (),
    stopped_at: Sequence[float] = (),
) -> Found:
    """Once the clients have ended; waits for the replicas. `cut_at`: when a process was killed, `stopped_at`: when it was
    stopped. What was under way with it then has failed, and does not count as failed by anything else."""
    verdict = judge(fleet, clients, others)
    history = [one for writers in clients for one in writers.history()]
    history += _at_the_end(fleet, history)
    failed = [one for writers in clients for one in writers.failed()]
    rest = [one for one in failed if not _is_cut(one, cut_at, stopped_at)]
    seen = Found(
        verdict=verdict,
        unexplained=violations(history),
        in_store=fleet.faults_in_store(),
        failed_pushes=[one for one in rest if not one.is_pull],
        failed_pulls=[one for one in rest if one.is_pull],
    )
    counts.acknowledged, counts.lost = verdict.acknowledged, len(verdict.lost)
    counts.writes, counts.overlaps = verdict.writes, len(verdict.overlaps)
    counts.operations, counts.unexplained = len(history), len(seen.unexplained)
    counts.pulls = sum(len(writers.pulls()) for writers in clients)
    counts.fences = len(fleet.leases.fenced())
    counts.gap = max((longest_gap(writers) for writers in clients), default=0.0)
    counts.failed = Counter(_kind(one, one not in rest) for one in failed)
    row.saw(f"{counts.lost} of {counts.acknowledged} acknowledged pushes lost, {counts.overlaps} overlaps")
    row.saw(f"{counts.unexplained} unexplained, {counts.fences} fences, longest gap {counts.gap:.1f} s")
    row.saw(f"failed: {dict(counts.failed) or 0}")
    return seen


def count(counts: Counts, work: Shipped, fleet: LeasedFleet) -> None:
    """What clients as they are shipped have seen: what is in their registries, no log of ours tells."""
    counts.acknowledged = len(work.runs("push")) - len(work.failed("push"))
    counts.lost, counts.pulls = len(work.lost), len(work.runs("pull"))
    counts.failed = Counter(f"{run.kind} by {run.tool.name}" for kind in ("push", "pull") for run in work.failed(kind))
    counts.fences = len(fleet.leases.fenced())


def _is_cut(one: Push, cut_at: Sequence[float], stopped_at: Sequence[float]) -> bool:
    begun, ended = one.begun - AT_ONCE_SECONDS, one.ended + AT_ONCE_SECONDS
    was_there = [at for at in (*cut_at, *stopped_at) if begun <= at <= ended]
    return any(at in stopped_at or one.ended <= at + CUT_SECONDS for at in was_there)


def _at_the_end(fleet: LeasedFleet, history: Iterable[Operation]) -> list[Operation]:
    """What the indexes have of every tag now, as a last pull would see it."""
    now = time.monotonic()
    repositories = defaultdict(set)
    for one in history:
        repository, _, tag = one.tag.rpartition(":")
        repositories[repository].add(tag)
    return [
        Operation(f"{repository}:{tag}", index.get(tag, NOTHING), now, now, is_write=False)
        for repository, tags in repositories.items()
        for index in [index_of(fleet.store, repository)]
        for tag in tags
    ]


def longest_gap(writers: Writers) -> float:
    last: dict[str, float] = {}
    gap = 0.0
    for push in sorted((one for one in writers.done() if one.status == CREATED), key=lambda one: one.ended):
        gap = max(gap, push.ended - last.get(push.repository, push.ended))
        last[push.repository] = push.ended
    return gap


def _kind(one: Push, is_cut: bool) -> str:
    what = f"{'pull' if one.is_pull else 'push'} {one.status or ''} {one.failure.partition(':')[0]}"
    return " ".join([*what.split(), *(["(cut by it)"] if is_cut else [])])


def write(document: Path, rows: Sequence[Row], counts: Mapping[str, Counts], scale: str) -> None:
    """The whole document, from the rows that ran."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    linux = ".".join(platform.release().split(".")[:2])
    lines = [
        f"Seen on {today}, {scale} size, {os.cpu_count()} cores, Linux {linux}:",
        "",
        "| row | what was done | acknowledged | lost | overlaps | unexplained | failed | fences | gap |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    ran = [row for row in in_order(list(rows)) if row.number >= FIRST_ROW]
    for row in ran:
        cells = counts[row.name()].cells() if row.name() in counts else [""] * 7
        lines.append(f"| {row.name()} | {row.fault} | {' | '.join(cells)} |")
    lines += ["", "What each had to show, and what was seen:", "", "| row | required | seen |", "|---|---|---|"]
    lines += [f"| {row.name()} | {row.required} | {row.verdict()} |" for row in ran]
    document.write_text(f"{HEAD}\n" + "\n".join(lines) + "\n")
