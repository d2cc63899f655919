"""Everything at random, to members that hold leases: one writer for each repository, whatever the order of events."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import MakeLeased
from harness.leased_churn import LeasedChurn
from harness.leased_load import load, names_of
from harness.safety import Counts, found
from harness.scale import Scale
from harness.table import Row

MEMBERS = 5
LEAVING = 0.02


@pytest.mark.row(
    73,
    "churn: deaths, stops (L1), restarts, leaves, joins, and a store that is away, slow, loses answers or fails, for one or all",
    "never two writers of one repository, 0 acknowledged pushes lost, nothing unexplained, 0 writes by non-owners",
)
@pytest.mark.parametrize("level", [pytest.param("L0", marks=pytest.mark.full), "L1"])
def test_everything_at_random(
    make_leased: MakeLeased,
    scale: Scale,
    row: Row,
    counts: Counts,
    tmp_path: Path,
    seed: int,
    level: str,
    lease_churn_seconds: float,
) -> None:
    row.saw(f"seed {seed}, {lease_churn_seconds:.0f} s")
    fleet = make_leased(level, count=MEMBERS)
    names = names_of(fleet, scale.lease_repositories)
    with load(fleet.members, names, tmp_path, scale, leaving=LEAVING) as writers:
        churn = LeasedChurn(fleet, writers, names, seed)
        churn.run(lease_churn_seconds)
    row.saw(", ".join(f"{count} × {event}" for event, count in churn.events.most_common()))
    row.saw(f"all written again after {churn.slowest:.1f} s at most")
    found(row, counts, fleet, [writers], churn.at_work, cut_at=churn.cut_at).assert_safe()
