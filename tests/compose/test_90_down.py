"""After everything else: what is left when the fleet goes."""

from __future__ import annotations

from harness.fleet import PROJECT, Fleet


def test_down_leaves_nothing(fleet: Fleet) -> None:
    assert fleet.resources() != {"container": [], "network": [], "volume": []}
    fleet.down()
    assert fleet.resources() == {"container": [], "network": [], "volume": []}, PROJECT
