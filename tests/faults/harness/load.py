"""Clients that go on working while something breaks: pulls and pushes at a fixed rate, in a process of their own.

The rate does not wait for answers, and a latency counts from when its request was due: a stall of one second is seen
by every request of that second.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType

from lib.cluster import Cluster, Member
from lib.process import Process, wait_until

from .scale import Scale
from .seed import MANIFEST, seed
from .table import Row

START_SECONDS = 20.0
STOP_SECONDS = 30.0
REPOSITORIES_PER_OWNER = 3
MIN_REQUESTS = 50


@dataclass(frozen=True)
class Work:
    """What the process of the load is told, as JSON."""

    bases: list[tuple[str, int]]
    repositories: list[str]
    manifest: str
    # To be trusted; None where clients speak plain HTTP.
    ca: str | None
    pulls_per_second: float
    pushes_per_second: float
    # A client that is refused the connection goes on to the next sidecar, as one does that was given several addresses.
    fails_over: bool
    # Such a push goes to a tag that is used once.
    new_tags: bool


@dataclass(frozen=True)
class Done:
    """One request. `failure` is empty for what a client wants to see."""

    due: float
    seconds: float
    kind: str
    base: str
    status: int
    failure: str
    retry_after: bool
    tag: str


@dataclass
class Load:
    """Running load; `with` ends it. Phases are named while it runs and looked at when it has ended."""

    process: Process
    out: Path
    scale: Scale
    normal_seconds: float
    phases: dict[str, tuple[float, float]] = field(default_factory=dict)
    _done: list[Done] = field(default_factory=list)

    def __enter__(self) -> Load:
        self.measure("normal", self.normal_seconds)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.end(checked=kind is None)

    def measure(self, phase: str, seconds: float) -> None:
        """Lets it run for so long."""
        with self.phase(phase):
            time.sleep(seconds)

    def phase(self, name: str) -> Phase:
        return Phase(self, name)

    def end(self, *, checked: bool = True) -> None:
        if self.process.exit_code is None:
            code = self.process.stop(STOP_SECONDS)
            assert code == 0 or not checked, f"the load ended with {code}:\n{self.process.tail()}"
        if self.out.exists():
            self._done = [Done(**entry) for entry in json.loads(self.out.read_text())]

    def done(self, kind: str = "", phase: str = "") -> list[Done]:
        begin, end = self.phases[phase] if phase else (-math.inf, math.inf)
        return [one for one in self._done if one.kind.startswith(kind) and begin <= one.due < end]

    def failures(self) -> list[Done]:
        return [one for one in self._done if one.failure]

    def p99(self, phase: str) -> float:
        """Of the pulls, in seconds."""
        return percentile([one.seconds for one in self.done("pull", phase)], 99)

    def assert_unharmed(self, row: Row, phase: str = "") -> None:
        """No failure in the whole run; and, where a phase is named, a p99 there that is near the normal one."""
        failures, count = self.failures(), len(self._done)
        row.saw(f"background: {len(failures)} of {count} requests failed")
        assert count >= MIN_REQUESTS, "there was no load to speak of"
        if phase:
            normal, now = self.p99("normal"), self.p99(phase)
            row.saw(f"its p99 {now * 1e3:.1f} ms, normally {normal * 1e3:.1f} ms")
        assert not failures, f"{len(failures)} failures, such as {failures[:5]}"
        if phase:
            limit = max(self.scale.p99_factor * normal, self.scale.p99_floor_seconds)
            assert now <= limit, f"p99 of {now * 1e3:.1f} ms, and {limit * 1e3:.1f} ms are allowed"


@dataclass
class Phase:
    load: Load
    name: str
    begin: float = 0.0

    def __enter__(self) -> None:
        self.begin = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self.load.phases[self.name] = (self.begin, time.monotonic())


def percentile(values: Sequence[float], percent: float) -> float:
    assert values, "no values"
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * percent / 100) - 1)]


def start(
    cluster: Cluster,
    owners: Sequence[Member],
    through: Sequence[Member],
    *,
    directory: Path,
    scale: Scale,
    normal_seconds: float | None = None,
    pulls_per_second: float = 50.0,
    pushes_per_second: float = 5.0,
    fails_over: bool = False,
    new_tags: bool = False,
    repositories: Sequence[str] = (),
) -> Load:
    """Load on repositories of `owners` alone (or on those given), through these members' client listeners."""
    names = list(repositories) or [
        cluster.repository_of(owner, "load") for owner in owners for _ in range(REPOSITORIES_PER_OWNER)
    ]
    seed(cluster, names, through)
    work = Work(
        bases=[(member.sidecar.place.host, member.sidecar.place.clients) for member in through],
        repositories=names,
        manifest=MANIFEST.decode(),
        ca=str(cluster.ca) if cluster.ca else None,
        pulls_per_second=pulls_per_second,
        pushes_per_second=pushes_per_second,
        fails_over=fails_over,
        new_tags=new_tags,
    )
    directory.mkdir(parents=True, exist_ok=True)
    told, out = directory / "load.json", directory / "load-done.json"
    told.write_text(json.dumps(asdict(work)))
    out.unlink(missing_ok=True)
    log = directory / "load.log"
    log.unlink(missing_ok=True)
    process = Process("load", [sys.executable, Path(__file__).with_name("clients.py"), told, out], log)
    wait_until("the load to begin", lambda: "begun" in process.text() or process.exit_code is not None, START_SECONDS)
    assert process.exit_code is None, process.tail()
    return Load(process, out, scale, scale.normal_seconds if normal_seconds is None else normal_seconds)


