"""The stand-in for S3 holds what a registry rests on: conditional writes, by many at once, and multipart uploads."""

from __future__ import annotations

from pathlib import Path

from harness.fleet import Fleet
from harness.images import ROOT

RACES = 40
WRITERS = 16
_CHECK = Path(__file__).parent / "harness" / "conditional.py"


def test_of_many_writers_with_one_condition_one_wins(fleet: Fleet, figures: list[str]) -> None:
    python = ROOT / ".venv" / "bin" / "python"
    told = fleet.within("store", [python, _CHECK, str(RACES), str(WRITERS)])
    assert told.split() == ["If-None-Match", str(RACES), "If-Match", str(RACES), "multipart", "ok"], told
    figures.append(f"conditional writes: one winner of {WRITERS} in {RACES} of {RACES} races, by either condition")
