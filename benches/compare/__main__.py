"""Runs the contestants against the same upstream and shows what each costs; see docs/performance.md."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import machine
from contestants import Contestant, Setting, all_contestants
from document import Results
from load import MIB, Load, Upstream
from processes import Process
from works import FULL, QUICK, Comparison, Effort
from zots import OWN_HOP, Zots, zot_binary

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "performance.md"
WORKS = ("idle", "start", "gets", "one get", "open loop", "bodies", "bodies down", "pull", "churn")
# No round is begun later than this, so that a whole run stays below twenty minutes on a busy machine too.
LAST_BEGIN_SECONDS = 840
# Others at work on the machine are seen in every figure.
BUSY_LOAD = 0.5
FAILED = 1


def main() -> int:
    options = arguments()
    if options.again:
        results, errors = Results.load(options.again), []
    else:
        results, errors = measured(options)
        results.save(options.save)
    print(results.markdown())
    for error in errors:
        print(f"compare: {error}", file=sys.stderr)
    if errors:
        return FAILED
    if options.write:
        results.write_into(DOCUMENT)
    return 0


def measured(options: argparse.Namespace) -> tuple[Results, list[str]]:
    busy = os.getloadavg()[0]
    if busy > BUSY_LOAD:
        print(f"compare: this machine is busy (load {busy:.1f}): the figures will be of little use", file=sys.stderr)
    cpus, others = machine.pin()
    began = time.monotonic()
    effort = replace(QUICK if options.quick else FULL, **({"rounds": options.rounds} if options.rounds else {}))
    works = [work for work in WORKS if not options.work or any(part in work for part in options.work)]
    comparison = Comparison(Load(options.load), effort)
    chosen = picked(all_contestants(options.binary, options.against), options.only)
    zot, zot_names = zot_binary(), []

    def in_time() -> bool:
        return time.monotonic() - began < LAST_BEGIN_SECONDS

    with tempfile.TemporaryDirectory(prefix="shardlet-compare-") as name, ExitStack() as ending:
        ending.callback(Process.end_all)
        directory = Path(name)
        if chosen:
            upstream = Upstream(options.load, directory / "upstream", effort.blob_bytes, others)
            place = directory / "stub"
            place.mkdir()
            setting = Setting(upstream.port, upstream.socket, upstream.paths, cpus, place)
            comparison.compare(chosen, setting, works, in_time, effort.rounds)
        for number in range(effort.rounds if zot else 0):
            # zot's own hop leaves a connection behind for each request, and is slower for it: it gets zots that are new,
            # and so does everybody else. Small requests come last, for the same reason.
            for is_own in (True, False):
                place = directory / f"zots-{number}-{'own' if is_own else 'asked'}"
                with closing(Zots(zot, options.binary, place, effort.blob_bytes, cpus)) as zots:
                    beside = [one for one in picked(zots.contestants(), options.only) if (one.name == OWN_HOP) == is_own]
                    zot_names += [one.name for one in beside if one.name not in zot_names]
                    comparison.compare(beside, zots.setting(cpus, place / "members"), works[::-1], in_time, rounds=1)
    about = (
        f"{machine.described()}; {machine.versions(options.binary, zot)}. {told(effort)} "
        f"Load average before the run: {busy:.1f}. It took {(time.monotonic() - began) / 60:.0f} minutes."
    )
    return Results(about, [one.name for one in chosen], zot_names, comparison.samples), comparison.errors


def picked(contestants: list[Contestant], only: list[str] | None) -> list[Contestant]:
    return [one for one in contestants if not only or any(part in one.name for part in only)]


def told(effort: Effort) -> str:
    rounds = f"Medians of {effort.rounds} rounds" if effort.rounds > 1 else "One round"
    return (
        f"{rounds}; ± is half the way from the least to the most. {effort.seconds:g} s for each figure of small "
        f"requests and pulls, {effort.blobs * effort.blob_bytes // MIB} MiB for each of bodies (half of it on one stream)."
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benches/compare.sh", description=__doc__)
    parser.add_argument("--binary", type=program, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--load", type=program, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--against", type=program, help="another shardlet binary to measure in the same run")
    parser.add_argument("--only", action="append", metavar="TEXT", help="only contestants whose name contains this")
    parser.add_argument("--work", action="append", metavar="TEXT", help=f"only some of: {', '.join(WORKS)}")
    parser.add_argument("--rounds", type=int, help=f"rounds (default: {FULL.rounds})")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--write", action="store_true", help="put the tables and plots into docs/performance.md")
    parser.add_argument("--save", type=Path, default=ROOT / "target/compare.json", help="where the figures are kept")
    parser.add_argument("--again", type=Path, metavar="FILE", help="show figures that were kept; nothing is measured")
    options = parser.parse_args()
    if options.write and (options.quick or options.only or options.work):
        parser.error("--write is for a whole run")
    return options


def program(name: str) -> Path:
    found = shutil.which(name)
    if not found:
        raise argparse.ArgumentTypeError(f"no program {name}")
    return Path(found).resolve()


if __name__ == "__main__":
    sys.exit(main())
