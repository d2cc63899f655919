"""Members come and go at random while clients push: one writer for each repository, whatever the order of events."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import MakeFleet
from harness.churn import Churn
from harness.judge import conclude
from harness.scale import Scale
from harness.table import Row
from harness.writers import Writers

REPOSITORIES = 100
START_SECONDS = 30.0
LEAVING = 0.05
PAUSE_SECONDS = 0.25


@pytest.mark.row(
    32,
    "churn: members 3 ↔ 4, reloads in any order, restarts with either list, stops, and the events of rows 16 to 18",
    "never two writers of one repository, 0 acknowledged pushes lost, 0 writes by non-owners",
)
@pytest.mark.parametrize("aftermath", [5.0], ids=[""])
def test_members_come_and_go(make_fleet: MakeFleet, scale: Scale, row: Row, tmp_path: Path, seed: int) -> None:
    row.saw(f"seed {seed}")
    fleet = make_fleet(count=4)
    names = [f"churn/{number}" for number in range(REPOSITORIES)]
    with Writers(
        fleet.members, names, tmp_path, through_each=False, pause=PAUSE_SECONDS, leaving=LEAVING
    ) as writers:
        writers.wait_for_all(names, 0.0, START_SECONDS)
        churn = Churn(fleet, writers, names, seed)
        churn.run(scale.churn_seconds)
    row.saw(", ".join(f"{count} × {event}" for event, count in churn.events.most_common()))
    conclude(row, fleet, [writers], churn.at_work)
