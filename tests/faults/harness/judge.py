"""What a run has done to the shared indexes: pushes that were acknowledged and lost, writers that met, strangers."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from lib.cluster import Member
from lib.process import wait_until

from .fleet import Fleet
from .open_write import OpenWrite
from .shared_index import Write, tags
from .table import Row
from .writers import Writers

SHOWN = 5
SLACK_SECONDS = 10.0


@dataclass(frozen=True)
class Verdict:
    writes: int
    acknowledged: int
    # `repository:tag`: acknowledged, and not in the index.
    lost: list[str]
    # Two replicas at one repository at the same time.
    overlaps: list[tuple[Write, Write]]
    # By the replica of a member that owns the repository in no view that was ever given to a member.
    by_strangers: list[Write]

    def tell(self, row: Row) -> None:
        row.saw(f"{len(self.lost)} of {self.acknowledged} acknowledged pushes lost")
        row.saw(f"{len(self.overlaps)} overlaps of two writers in {self.writes} writes")
        row.saw(f"{len(self.by_strangers)} writes by non-owners")

    def assert_one_writer(self) -> None:
        assert self.acknowledged, "nothing was written, so nothing was shown"
        met = [f"{one}, and {other}" for one, other in self.overlaps[:SHOWN]]
        assert not self.overlaps, f"{len(self.overlaps)} times two writers: {met}"
        assert not self.lost, f"{len(self.lost)} acknowledged pushes are lost: {self.lost[:SHOWN]}"
        assert not self.by_strangers, [str(write) for write in self.by_strangers[:SHOWN]]


def judge(fleet: Fleet, clients: Iterable[Writers], others: Iterable[OpenWrite] = ()) -> Verdict:
    """Once the clients have ended; waits for the replicas."""
    fleet.wait_quiet()
    writes = [write for replica in fleet.replicas for write in replica.writes()]
    acknowledged = {(push.repository, push.tag) for writers in clients for push in writers.acknowledged()}
    acknowledged |= {(one.repository, one.tag) for one in others if one.acknowledged}
    kept = {name: tags(fleet.store, name) for name in {name for name, _ in acknowledged}}
    return Verdict(
        writes=len(writes),
        acknowledged=len(acknowledged),
        lost=sorted(f"{name}:{tag}" for name, tag in acknowledged if tag not in kept[name]),
        overlaps=_overlaps(writes),
        by_strangers=_by_strangers(fleet, writes),
    )


def conclude(row: Row, fleet: Fleet, clients: Iterable[Writers], others: Iterable[OpenWrite] = ()) -> None:
    """The same, where nothing may have been lost."""
    verdict = judge(fleet, clients, others)
    verdict.tell(row)
    verdict.assert_one_writer()


def first_write_elsewhere(fleet: Fleet, owner: Member, names: Iterable[str], since: float) -> float | None:
    """When another replica than that of the owner began a write to one of them, in seconds after `since`."""
    names = set(names)
    writes = [write for replica in fleet.replicas if replica is not owner.replica for write in replica.writes()]
    begun = [write.begun for write in writes if write.repository in names and write.begun >= since]
    return min(begun) - since if begun else None


def watch(fleet: Fleet, owner: Member, names: Iterable[str], since: float, seconds: float) -> None:
    """For so long after `since`, or until another replica writes one of them, which is all there is to see."""
    names = list(names)

    def over() -> bool:
        late = time.monotonic() - since > seconds
        return late or first_write_elsewhere(fleet, owner, names, since) is not None

    wait_until("the time to pass", over, seconds + SLACK_SECONDS)


def tell_takeover(row: Row, fleet: Fleet, owner: Member, names: Iterable[str], since: float) -> None:
    seconds = first_write_elsewhere(fleet, owner, names, since)
    row.saw("nobody else wrote" if seconds is None else f"another replica wrote {seconds:.2f} s after")


def _overlaps(writes: Iterable[Write]) -> list[tuple[Write, Write]]:
    by_repository = defaultdict(list)
    for write in sorted(writes, key=lambda write: write.begun):
        by_repository[write.repository].append(write)
    found = []
    for of_one in by_repository.values():
        open_writes: list[Write] = []
        for write in of_one:
            open_writes = [one for one in open_writes if one.ended > write.begun]
            found += [(one, write) for one in open_writes if one.replica != write.replica]
            open_writes.append(write)
    return found


def _by_strangers(fleet: Fleet, writes: list[Write]) -> list[Write]:
    names = sorted({write.repository for write in writes})
    owners = defaultdict(set)
    for view in fleet.views:
        for name, owner in fleet.owners(view, names).items():
            owners[name].add(owner)
    return [write for write in writes if not owners[write.repository] & fleet.ids_of[write.replica]]
