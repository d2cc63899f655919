"""Takes figures in and writes the tables and plots of docs/scale.md; `bash benches/scale.sh` runs it.

All figures are kept in docs/scale/figures.json, so that each part can be measured by itself. Without one to take in,
the document is only written again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
from pathlib import Path

from tables import Figures, charts, tables

ROOT = Path(__file__).resolve().parents[2]
_PLACE = "<!-- {name}: written by benches/scale.sh -->"
_END = "<!-- end -->"


def main() -> None:
    parser = argparse.ArgumentParser(prog="benches/scale", description=__doc__)
    parser.add_argument("--simulated", type=Path, help="what the simulation printed")
    parser.add_argument("--measured", type=Path, help="what the tests measured, a line each")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where scale.md is, and scale/")
    options = parser.parse_args()

    file = options.docs / "scale" / "figures.json"
    figures: Figures = json.loads(file.read_text()) if file.exists() else {}
    if options.simulated:
        figures |= json.loads(options.simulated.read_text())
        figures["machine"] = machine()
    if options.measured:
        lines = [json.loads(line) for line in options.measured.read_text().splitlines()]
        for kind in ("fleets", "crowds"):
            if found := [line for line in lines if line["kind"] == kind]:
                figures[kind] = sorted(found, key=lambda one: one["members"])
    file.parent.mkdir(exist_ok=True)
    kept = [f"{json.dumps(name)}: {json.dumps(rounded(figures[name]), sort_keys=True)}" for name in sorted(figures)]
    file.write_text("{\n" + ",\n".join(kept) + "\n}\n")
    write(json.loads(file.read_text()), options.docs)


def write(figures: Figures, docs: Path) -> None:
    for name, chart in charts(figures).items():
        (docs / "scale" / f"{name}.svg").write_text(chart.svg())
    document = docs / "scale.md"
    text = document.read_text()
    for name, table in tables(figures).items():
        place = _PLACE.format(name=name)
        found = re.compile(f"{re.escape(place)}\n.*?{re.escape(_END)}", re.DOTALL)
        text, count = found.subn(lambda _: f"{place}\n{table}\n{_END}", text)  # noqa: B023
        if count != 1:
            raise SystemExit(f"{document} has {count} places for `{name}`: it needs one `{place}` … `{_END}`")
    document.write_text(text)


def machine() -> dict[str, object]:
    """What the figures depend on, and no more."""
    version = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.split()[:2]
    manifest = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    assert manifest, "Cargo.toml has no version"
    return {
        "cores": os.cpu_count(),
        "rustc": " ".join(version),
        "shardlet": f"shardlet {manifest[1]}",
        "system": f"{platform.system()} on {platform.machine()}",
    }


def rounded(value: object) -> object:
    """Six digits are more than any of this is worth."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
