"""Clients of a fleet with leases: tags pushed once, a tag pushed again and again, and pulls of both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lib.cluster import Member
from lib.sidecar import Place

from .leased import LeasedFleet
from .scale import Scale
from .table import Row
from .writers import Writers

# Longer than a write is held.
PATIENCE_SECONDS = 45.0
FIRST_SECONDS = 30.0
# Where a takeover takes less, no push fails but those in the middle.
HELD_SECONDS = 25.0


def names_of(fleet: LeasedFleet, count: int) -> list[str]:
    """Of every member as many as of any other."""
    share = -(-count // len(fleet.members))
    return [name for member in fleet.members for name in fleet.owned_by(member, share)]


def of_one(fleet: LeasedFleet, member: Member, names: list[str]) -> list[str]:
    owners = fleet.owners(fleet.leases.members(), names)
    return [name for name in names if owners[name] == member.id]


def wait_for_takeover(row: Row, fleet: LeasedFleet, writers: Writers, names: list[str], since: float) -> float:
    """Until all are written again, which has to be within what is promised."""
    back = writers.wait_for_all(names, since, 2 * fleet.level.takeover)
    row.saw(f"all were written again {back - since:.1f} s after, at most {fleet.level.takeover:.0f} s are promised")
    assert back - since <= fleet.level.takeover
    return back


def load(
    through: Sequence[Member | Place],
    names: Sequence[str],
    directory: Path,
    scale: Scale,
    *,
    leaving: float = 0.0,
    patience: float = PATIENCE_SECONDS,
    first: float = FIRST_SECONDS,
) -> Writers:
    """Clients that have all pushed once, within the first so many seconds."""
    writers = Writers(
        through,
        names,
        directory,
        through_each=False,
        pause=scale.lease_pause,
        leaving=leaving,
        moving=True,
        persistent=True,
        patience=patience,
    )
    writers.wait_for_all(names, 0.0, first)
    return writers
