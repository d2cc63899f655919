"""Runs the contestants against the same upstreams and prints what each costs; see docs/performance.md.

Rounds go over all contestants in turn, so that a machine that is busy for a while is busy for all of them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import load
import usage
from contestants import Contestant, Running, Setting, all_contestants
from processes import Process
from upstreams import Sink, Stub

MIB = 1 << 20
BLOB_BYTES = 64 * MIB
IDLE_CONNECTIONS = 1000
WARM_UP_SECONDS = 1
# No round is begun later than this, so that the whole run stays below five minutes on a busy machine too.
LAST_BEGIN_SECONDS = 220
FAILED = 1

Samples = dict[str, dict[str, list[float]]]


class Run:
    """One comparison: the samples so far, by contestant and metric."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.samples: Samples = defaultdict(lambda: defaultdict(list))
        self.errors: list[str] = []
        self._began = time.monotonic()

    def compare(self, contestants: list[Contestant]) -> None:
        with tempfile.TemporaryDirectory(prefix="shardlet-compare-") as name, ExitStack() as ending:
            directory = Path(name)
            ending.callback(Process.end_all)
            stub = Stub(directory / "stub", BLOB_BYTES)
            self._act(contestants, stub.port, directory / "gets", self._idle, self._small, self._down)
            sink = Sink(directory / "sink")
            self._act(contestants, sink.port, directory / "puts", None, self._up)

    def _act(
        self,
        contestants: list[Contestant],
        upstream: int,
        directory: Path,
        first: Callable[[Running], None] | None,
        *measures: Callable[[Running], None],
    ) -> None:
        """All contestants before one upstream: `first` while nothing else has touched them, then round by round."""
        directory.mkdir()
        with ExitStack() as ending:
            all_running = []
            for number, contestant in enumerate(contestants):
                place = directory / str(number)
                place.mkdir()
                running = contestant.start(contestant.name, Setting(self.options.threads, upstream, place))
                ending.callback(running.end)
                all_running.append(running)
                if first:
                    self._try(first, running)
            for measure in measures:
                for _ in range(self.options.rounds):
                    if time.monotonic() - self._began > LAST_BEGIN_SECONDS:
                        print("compare: out of time, fewer rounds than asked for", file=sys.stderr)
                        break
                    for running in all_running:
                        self._try(measure, running)
            for running in all_running:
                if running.pids:
                    self.samples[running.name]["peak"].append(usage.peak_bytes(running.pids) / MIB)

    def _try(self, measure: Callable[[Running], None], running: Running) -> None:
        try:
            measure(running)
        except (load.LoadError, RuntimeError) as error:
            self.errors.append(f"{running.name}: {error}")

    def _idle(self, running: Running) -> None:
        if not running.pids:
            return
        before = usage.resident_bytes(running.pids)
        self.samples[running.name]["idle"].append(before / MIB)
        with load.idle_connections(running.port, IDLE_CONNECTIONS):
            more = usage.resident_bytes(running.pids) - before
        self.samples[running.name]["connection"].append(more / 1024 / IDLE_CONNECTIONS)

    def _small(self, running: Running) -> None:
        load.small_gets(running.port, WARM_UP_SECONDS)
        before = usage.cpu_seconds(running.pids)
        seen = load.small_gets(running.port, self.options.seconds)
        spent = usage.cpu_seconds(running.pids) - before
        samples = self.samples[running.name]
        samples["rate"].append(seen.per_second)
        samples["p50"].append(seen.p50_ms)
        samples["p99"].append(seen.p99_ms)
        if running.pids:
            samples["small"].append(spent / seen.requests * 100_000)

    def _down(self, running: Running) -> None:
        self._bodies(running, "down", load.download)

    def _up(self, running: Running) -> None:
        self._bodies(running, "up", load.upload)

    def _bodies(self, running: Running, metric: str, move: Callable[[int, int, int], None]) -> None:
        gib = load.STREAMS * BLOB_BYTES * self.options.blobs / (1 << 30)
        before, began = usage.cpu_seconds(running.pids), time.monotonic()
        move(running.port, BLOB_BYTES, self.options.blobs)
        seconds = time.monotonic() - began
        samples = self.samples[running.name]
        samples[f"{metric} rate"].append(gib * 1024 / seconds)
        if running.pids:
            samples[metric].append((usage.cpu_seconds(running.pids) - before) / gib)


# Metric, heading, how a number is written.
COLUMNS = [
    ("rate", "small GETs/s", "{:,.0f}"),
    ("p50", "p50 ms", "{:.2f}"),
    ("p99", "p99 ms", "{:.2f}"),
    ("small", "CPU s per 100k GETs", "{:.2f}"),
    ("down", "CPU s per GiB down", "{:.2f}"),
    ("up", "CPU s per GiB up", "{:.2f}"),
    ("down rate", "MiB/s down", "{:,.0f}"),
    ("up rate", "MiB/s up", "{:,.0f}"),
    ("idle", "MiB idle", "{:.1f}"),
    ("peak", "MiB peak", "{:.1f}"),
    ("connection", "KiB per idle connection", "{:.1f}"),
]


def main() -> int:
    options = arguments()
    contestants = all_contestants(options.binary, options.against)
    if options.only:
        contestants = [one for one in contestants if any(part in one.name for part in options.only)]
    busy = os.getloadavg()[0]
    run = Run(options)
    run.compare(contestants)
    print(table(run.samples, [one.name for one in contestants]))
    print(
        f"\n{os.cpu_count()} cores, load {busy:.1f} before, {options.threads} worker threads each, "
        f"medians of {options.rounds} rounds (spread of CPU figures: ±{spread(run.samples):.0%}); shardlet's access log "
        "goes to /dev/null where it is not off; wrk with "
        f"{load.CONNECTIONS} connections for {options.seconds} s, {load.STREAMS} streams of {BLOB_BYTES // MIB} MiB blobs."
    )
    for error in run.errors:
        print(f"compare: {error}", file=sys.stderr)
    return FAILED if run.errors else 0


def table(samples: Samples, names: list[str]) -> str:
    lines = ["| | " + " | ".join(heading for _, heading, _ in COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name in names:
        cells = [
            # What happens once has one number, and of two peaks the higher one counts.
            shape.format((max if metric == "peak" else statistics.median)(values)) if values else "–"
            for metric, _, shape in COLUMNS
            for values in [samples[name][metric]]
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def spread(samples: Samples) -> float:
    """How far, at worst, a CPU figure lies from the median of its rounds."""
    rounds = [of_one[metric] for of_one in samples.values() for metric in ("small", "down", "up") if of_one[metric]]
    return max((abs(value / statistics.median(values) - 1) for values in rounds for value in values), default=0)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benches/compare.sh", description=__doc__)
    parser.add_argument("--binary", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--against", type=Path, help="another shardlet binary to measure in the same run")
    parser.add_argument("--only", action="append", metavar="TEXT", help="only contestants whose name contains this")
    parser.add_argument("--threads", type=int, default=2, help="worker threads of each proxy (default: 2)")
    parser.add_argument("--quick", action="store_true", help="one short round")
    options = parser.parse_args()
    options.rounds, options.seconds, options.blobs = (1, 1, 1) if options.quick else (3, 3, 2)
    options.binary = Path(shutil.which(options.binary) or parser.error(f"no program {options.binary}")).resolve()
    return options


if __name__ == "__main__":
    sys.exit(main())
