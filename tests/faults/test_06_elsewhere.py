"""Rows that are shown by cargo tests: named here, so that the table is whole and the long run runs them at full size."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from harness.scale import FULL, Scale
from harness.table import Row

ROOT = Path(__file__).resolve().parents[2]
GENERATED = {"fast": 20_000, "full": 1_000_000}
CARGO_SECONDS = 1800.0


@pytest.mark.row(
    11,
    "path corpus and generated paths",
    "0 differences between hashed and served repository",
)
def test_paths_that_confuse(scale: Scale, row: Row) -> None:
    count = GENERATED[scale.name]
    profile = ["--release"] if scale is FULL else []
    environment = os.environ | {"PROPTEST_CASES": str(count)}
    done = subprocess.run(
        ["cargo", "test", "--locked", *profile, "--test", "path_confusion"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=CARGO_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    row.saw(f"{count:,} generated paths, 0 differences between our parser and the models of two registries")
