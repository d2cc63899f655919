"""Whether what clients saw of tags can be explained by one order of all writes, in Jepsen's manner.

No two writes of a tag have the same value, so it is known which write a read has seen. Then a history is linearizable if
and only if the zones of its values fit together (Gibbons and Korach, Testing Shared Memories, 1997). The zone of a value
lies between the first end and the last begin of all operations that wrote or saw it. If the first end comes first, it is
forward: the tag had this value for all of that time. Else it is backward: there is a moment in it that will do.
"""

from __future__ import annotations

import enum
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# What is read before anything was written.
NOTHING = ""


class Outcome(enum.Enum):
    DONE = "done"
    # Its client was told that it was not: nobody may ever see it.
    REFUSED = "refused"
    # Its client was told nothing. It may be carried out at any later time, or never.
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Operation:
    """A write, or a read that was answered."""

    tag: str
    value: str
    begun: float
    ended: float
    is_write: bool
    outcome: Outcome = Outcome.DONE


@dataclass(frozen=True)
class _Zone:
    value: str
    # When the first operation of this value had ended, and when the last one began.
    first_end: float
    last_begin: float

    @property
    def is_forward(self) -> bool:
        return self.first_end < self.last_begin


def violations(history: Iterable[Operation]) -> list[str]:
    """What no order of the operations explains; empty if one explains all."""
    by_tag: dict[str, list[Operation]] = defaultdict(list)
    for operation in history:
        by_tag[operation.tag].append(operation)
    return [f"{tag}: {why}" for tag, operations in sorted(by_tag.items()) for why in _of_one(operations)]


def _of_one(operations: Sequence[Operation]) -> list[str]:
    writes = {one.value: one for one in operations if one.is_write}
    if len(writes) < len([one for one in operations if one.is_write]):
        return ["a value was written twice, so it is not known which write a read has seen"]
    reads: dict[str, list[Operation]] = defaultdict(list)
    for one in operations:
        if not one.is_write:
            reads[one.value].append(one)
    found = []
    zones = [_Zone(NOTHING, -math.inf, max((one.begun for one in reads.pop(NOTHING, [])), default=-math.inf))]
    for value, write in writes.items():
        seen = reads.pop(value, [])
        if write.outcome is Outcome.REFUSED:
            found += [f"{value}, which was refused, was read at {one.begun:.3f}" for one in seen[:1]]
            continue
        found += [f"{value} was read at {one.ended:.3f}, before it was written" for one in seen if one.ended < write.begun]
        if write.outcome is Outcome.DONE or seen:
            end = write.ended if write.outcome is Outcome.DONE else math.inf
            first_end = min([end, *(one.ended for one in seen)])
            zones.append(_Zone(value, first_end, max([write.begun, *(one.begun for one in seen)])))
    found += [f"{value} was read at {seen[0].begun:.3f}, and nobody wrote it" for value, seen in reads.items()]
    return found + _misfits(zones)


def _misfits(zones: Sequence[_Zone]) -> list[str]:
    forward = sorted((zone for zone in zones if zone.is_forward), key=lambda zone: zone.first_end)
    found = []
    for one, other in zip(forward, forward[1:], strict=False):
        if other.first_end < one.last_begin:
            found.append(
                f"{one.value or 'nothing'} was still read at {one.last_begin:.3f}, "
                f"{other.value} was there at {other.first_end:.3f}"
            )
    for back in (zone for zone in zones if not zone.is_forward):
        for one in forward:
            if one.first_end < back.last_begin and back.first_end < one.last_begin:
                found.append(
                    f"{one.value or 'nothing'} was read at {one.last_begin:.3f}, "
                    f"after {back.value} was written over it by {back.first_end:.3f}"
                )
    return found
