"""Real clients as they are shipped, which go on pushing and pulling while something happens.

Nothing is sent again but by themselves.
"""

from __future__ import annotations

import functools
import itertools
import re
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lib.client import Registry, digest_of
from lib.cluster import Cluster
from lib.image import Layout
from lib.process import wait_until
from lib.tools import Buildah, Command, Crane, Entry, Oras, Skopeo, Tool

from .leased import LeasedFleet
from .load import percentile
from .table import Row

# Those that are in everybody's hands, and differ in what they send again.
KINDS: Sequence[type[Tool]] = (Skopeo, Buildah, Oras, Crane)
BEGIN_SECONDS = 60.0
# They share two cores with all members and registries.
PAUSE_SECONDS = 0.2
SAID = 400
# By us; what is cut is told by another status, or by none. Digests are longer words.
_REFUSED = re.compile(r"\b503\b")


@dataclass(frozen=True)
class Run:
    """One command, from its start to its end."""

    tool: Tool
    kind: str
    # repository:tag
    name: str
    command: Command
    began: float
    ended: float
    code: int
    said: str

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    def was_under_way(self, when: float) -> bool:
        return self.began <= when <= self.ended

    def again(self) -> Run:
        return carry_out(self.tool, self.kind, self.name, self.command)

    def __str__(self) -> str:
        return f"{self.kind} by {self.tool.name} of {self.name}: {self.code} after {self.seconds:.2f} s: {self.said}"


def carry_out(tool: Tool, kind: str, name: str, command: Command) -> Run:
    began = time.monotonic()
    done = tool.attempt(command)
    return Run(tool, kind, name, command, began, time.monotonic(), done.returncode, done.stderr[-SAID:])


class Client:
    """Carries out one command after the other. `step` gives the name and the command of each."""

    def __init__(self, tool: Tool, kind: str, step: Callable[[int], tuple[str, Command]]) -> None:
        self.runs: list[Run] = []
        self._tool, self._kind, self._step = tool, kind, step
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def ask_no_more(self) -> None:
        self._stop.set()

    def join(self) -> None:
        self._thread.join()

    def _work(self) -> None:
        for number in itertools.count():
            if self._stop.is_set():
                return
            self.runs.append(carry_out(self._tool, self._kind, *self._step(number)))
            self._stop.wait(PAUSE_SECONDS)


@dataclass
class Shipped:
    """All clients at work; `with` lets each finish what it does, and ends them."""

    cluster: Cluster | LeasedFleet
    layout: Layout
    clients: list[Client] = field(default_factory=list)

    def __enter__(self) -> Shipped:
        wait_until("every client to have begun", lambda: all(client.runs for client in self.clients), BEGIN_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        for client in self.clients:
            client.ask_no_more()
        for client in self.clients:
            client.join()

    def runs(self, kind: str) -> list[Run]:
        return [run for client in self.clients for run in client.runs if run.kind == kind]

    def failed(self, kind: str) -> list[Run]:
        return [run for run in self.runs(kind) if run.code]

    def tell(self, row: Row) -> None:
        for kind, plural in (("push", "pushes"), ("pull", "pulls")):
            runs, failed = self.runs(kind), self.failed(kind)
            by = ", ".join(f"{name} {count}" for name, count in _by_tool(failed).items())
            row.saw(f"{len(failed)} of {len(runs)} {plural} failed" + (f" ({by})" if by else ""))
        row.saw(f"p99 of a push {self.push_seconds(99):.2f} s, median {self.push_seconds(50):.2f} s")
        row.saw(f"{len(self.lost)} tags lost")

    def push_seconds(self, share: int) -> float:
        return percentile([run.seconds for run in self.runs("push")], share)

    def assert_unseen(self) -> None:
        """By any client, in all that has happened."""
        assert not (bad := [str(run) for kind in ("push", "pull") for run in self.failed(kind)]), bad
        assert not self.lost, self.lost

    def conclude_death(self, row: Row, died: float) -> None:
        """Nothing fails but what was under way then, and such a push succeeds when it is run again."""
        under_way = [run for run in self.runs("push") if run.was_under_way(died)]
        cut = [run for run in self.failed("push") if run in under_way]
        again = [run.again() for run in cut]
        self.tell(row)
        row.saw(f"{len(under_way)} pushes were under way at the death, {len(cut)} of them failed")
        succeeded = [run for run in again if not run.code]
        row.saw(f"of these, {len(succeeded)} succeeded when the same command was run again")
        late = [str(run) for kind in ("push", "pull") for run in self.failed(kind) if not run.was_under_way(died)]
        assert not late, late
        assert not (bad := [str(run) for run in cut if _REFUSED.search(run.said)]), bad
        assert not (bad := [str(run) for run in again if run.code]), bad
        assert not self.lost, self.lost

    @functools.cached_property
    def lost(self) -> list[str]:
        """What was pushed, as the client says, and is not there, or is something else."""
        lost = []
        with Registry(self.cluster.bases, self.cluster.ca) as registry:
            for run in self.runs("push"):
                repository, _, tag = run.name.rpartition(":")
                answer = registry.manifest(repository, tag) if not run.code else None
                if answer and (answer.status_code != 200 or not self._is_ours(run, answer.content)):
                    lost.append(f"{run.name} by {run.tool.name}: {answer.status_code}")
        return lost

    def _is_ours(self, run: Run, manifest: bytes) -> bool:
        if run.tool.recompresses:
            return self.layout.config_digest.encode() in manifest
        return digest_of(manifest) == digest_of(self.layout.manifest)


def start(cluster: Cluster | LeasedFleet, entry: Entry, layout: Layout, directory: Path) -> Shipped:
    """One client of each kind that pushes, and one that pulls, through `entry`.

    Each push is to a repository of its own, so that all its blobs are sent, and their owners take turns by themselves.
    """
    pulled = [f"{cluster.repository_of(member, 'shipped')}:v1" for member in cluster.members]
    seeding = Crane(Entry(cluster.members[0].sidecar.host, cluster.ca), directory / "seed")
    for name in pulled:
        seeding.run(seeding.push(layout, name))
    work = Shipped(cluster, layout)
    for kind in KINDS:
        pusher, puller = (kind(entry, directory / f"{kind.name}-{what}") for what in ("push", "pull"))
        pusher.prepare(layout)
        work.clients.append(Client(pusher, "push", _pushing(cluster, pusher, layout)))
        work.clients.append(Client(puller, "pull", _pulling(puller, pulled, directory / f"{kind.name}-pulled")))
    return work


def _pushing(cluster: Cluster | LeasedFleet, tool: Tool, layout: Layout) -> Callable[[int], tuple[str, Command]]:
    def step(number: int) -> tuple[str, Command]:
        name = f"{cluster.repository(f'shipped-{tool.name}')}:v{number}"
        return name, tool.push(layout, name)

    return step


def _pulling(tool: Tool, names: Sequence[str], out: Path) -> Callable[[int], tuple[str, Command]]:
    def step(number: int) -> tuple[str, Command]:
        shutil.rmtree(out, ignore_errors=True)
        name = names[number % len(names)]
        return name, tool.pull(name, out)

    return step


def _by_tool(runs: Sequence[Run]) -> dict[str, int]:
    names = [run.tool.name for run in runs]
    return {name: names.count(name) for name in sorted(set(names))}
