"""What each contestant is made to do, and what is noted of it."""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import usage
from contestants import Contestant, Running, Setting
from load import MIB, Load, LoadError

CONNECTIONS = (64, 8)
STREAMS = (8, 1)
OPEN_CONNECTIONS = 64
# Whose rate at saturation the open loop takes its rates from, and the shares of it.
PACE = "HAProxy"
SHARES = (50, 80)
GIB = 1 << 30

# By contestant and metric, a figure for each round.
Samples = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Effort:
    """How much of everything."""

    rounds: int
    seconds: float
    warm_up: float
    blob_bytes: int
    # Blobs in all of a measurement; on one stream half of them.
    blobs: int
    idle: tuple[int, ...]


FULL = Effort(rounds=3, seconds=2.5, warm_up=0.5, blob_bytes=64 * MIB, blobs=16, idle=(1000, 5000))
QUICK = Effort(rounds=1, seconds=0.2, warm_up=0.1, blob_bytes=16 * MIB, blobs=8, idle=(200,))


class Comparison:
    """Figures so far, and how more are come by."""

    def __init__(self, load: Load, effort: Effort, samples: Samples | None = None) -> None:
        self.samples: Samples = samples if samples is not None else defaultdict(lambda: defaultdict(list))
        self.errors: list[str] = []
        self._load = load
        self._effort = effort

    def compare(
        self,
        contestants: Sequence[Contestant],
        setting: Setting,
        works: Sequence[str],
        in_time: Callable[[], bool],
        rounds: int,
    ) -> None:
        """All contestants before one upstream: what wants a fresh process first, then round by round."""
        with ExitStack() as ending:
            all_running = []
            for contestant in contestants:
                running = self._start(contestant, setting)
                if not running:
                    continue
                ending.callback(running.end)
                all_running.append((contestant, running))
                if "idle" in works and "idle" in contestant.works:
                    self._try(contestant, self._idle, running)
            for number in range(rounds):
                # Round by round over all, so that a machine that is busy for a while is busy for all of them.
                if not in_time():
                    print(f"compare: out of time after {number} rounds", file=sys.stderr)
                    break
                for work in works:
                    for contestant, running in all_running:
                        if work in contestant.works and work in self._of_a_round:
                            self._try(contestant, self._of_a_round[work], running)
                for contestant, _ in all_running:
                    if "start" in works and "start" in contestant.works and (again := self._start(contestant, setting)):
                        again.end()

    @property
    def _of_a_round(self) -> dict[str, Callable[[str, Running], None]]:
        return {
            "gets": self._gets,
            "one get": self._one_get,
            "open loop": self._open_loop,
            "bodies": self._bodies,
            "bodies down": self._bodies_down,
            "pull": self._pull,
            "churn": self._churn,
        }

    def _start(self, contestant: Contestant, setting: Setting) -> Running | None:
        place = setting.directory / f"{len(list(setting.directory.iterdir()))}"
        place.mkdir()
        try:
            running = contestant.start(replace(setting, directory=place))
        except (OSError, RuntimeError) as error:
            self.errors.append(f"{contestant.name}: {error}")
            return None
        if running.ready_ms is not None and "start" in contestant.works:
            self._note(contestant.name, "start.ms", running.ready_ms)
        return running

    def _try(self, contestant: Contestant, work: Callable[[str, Running], None], running: Running) -> None:
        try:
            work(contestant.name, running)
        except (LoadError, RuntimeError) as error:
            self.errors.append(f"{contestant.name}: {error}")

    def _note(self, name: str, metric: str, figure: float) -> None:
        self.samples[name][metric].append(figure)

    def _idle(self, name: str, running: Running) -> None:
        if not running.processes:
            return
        # A member that only serves the hop has no clients.
        front = [running.processes[0].pid]
        before = usage.resident_kib(front)
        self._note(name, "start.mib", before / 1024)
        with self._load.idle(running.door()) as connections:
            for count in self._effort.idle:
                connections.grow_to(count)
                self._note(name, f"idle{count}.kib", (usage.resident_kib(front) - before) / count)

    def _gets(self, name: str, running: Running) -> None:
        for connections in CONNECTIONS:
            self._small(name, running, connections)

    def _one_get(self, name: str, running: Running) -> None:
        self._small(name, running, 1)

    def _small(self, name: str, running: Running, connections: int) -> None:
        seen = self._load.gets(running.door(), connections, self._effort.seconds, self._effort.warm_up)
        metric = f"get{connections}"
        self._note(name, f"{metric}.rate", seen["per_second"])
        self._note(name, f"{metric}.p50", seen["p50_us"])
        self._note(name, f"{metric}.p99", seen["p99_us"])
        if running.processes:
            self._note(name, f"{metric}.cpu", seen["cpu_seconds"] / seen["per_second"] / seen["seconds"] * 100_000)
            self._note(name, f"{metric}.busy", seen["cpu_seconds"] / seen["seconds"] * 100)

    def _open_loop(self, name: str, running: Running) -> None:
        saturation = self.samples[PACE][f"get{OPEN_CONNECTIONS}.rate"]
        if not saturation:
            raise LoadError(f"the open loop takes its rates from {PACE}, which has none")
        for share in SHARES:
            rate = statistics.median(saturation) * share / 100
            effort = self._effort
            seen = self._load.gets(running.door(), OPEN_CONNECTIONS, effort.seconds, effort.warm_up, rate)
            self._note(name, f"open{share}.kept", seen["per_second"] / rate * 100)
            for percentile in ("p50", "p99", "p999"):
                self._note(name, f"open{share}.{percentile}", seen[f"{percentile}_us"])

    def _bodies(self, name: str, running: Running) -> None:
        for way in ("down", "up"):
            for streams in STREAMS:
                self._move(name, running, way, streams)

    def _bodies_down(self, name: str, running: Running) -> None:
        for streams in STREAMS:
            self._move(name, running, "down", streams)

    def _move(self, name: str, running: Running, way: str, streams: int) -> None:
        count = max(self._effort.blobs // streams // (1 if streams > 1 else 2), 1)
        seen = self._load.bodies(running.door(), streams, count, self._effort.blob_bytes, up=way == "up")
        gib = seen["bytes"] / GIB
        self._note(name, f"{way}{streams}.rate", gib * 1024 / seen["seconds"])
        if running.processes:
            self._note(name, f"{way}{streams}.cpu", seen["cpu_seconds"] / gib)

    def _pull(self, name: str, running: Running) -> None:
        self._repeated(name, "pull", running, self._load.pull(running.door(), self._effort.seconds, self._effort.warm_up))

    def _churn(self, name: str, running: Running) -> None:
        self._repeated(name, "churn", running, self._load.churn(running.door(), self._effort.seconds, self._effort.warm_up))

    def _repeated(self, name: str, metric: str, running: Running, seen: dict) -> None:
        self._note(name, f"{metric}.rate", seen["per_second"])
        self._note(name, f"{metric}.p50", seen["p50_us"] / 1000)
        if running.processes:
            self._note(name, f"{metric}.cpu", seen["cpu_seconds"] / seen["per_second"] / seen["seconds"] * 1000)
