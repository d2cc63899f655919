"""Members that come and go at random, and now and then two events that belong together."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence

from lib.cluster import Member

from . import open_write
from .fleet import EXIT_SECONDS, Fleet, View
from .open_write import OpenWrite
from .writers import Writers

SIGNALS = (signal.SIGKILL, signal.SIGTERM)
PAUSE_SECONDS = 0.5
STAND_SECONDS = 1.0
BURST = 4
AT_WORK = 6
# How long these pushes take, as a part of the grace.
TAIL = 0.7
SETTLE_SECONDS = 40.0


class Churn:
    """Goes on until `run` has had its time, and leaves all members running with one list."""

    def __init__(self, fleet: Fleet, writers: Writers, names: Sequence[str], seed: int) -> None:
        self._fleet, self._writers, self._names = fleet, writers, names
        self._random = random.Random(seed)
        self._views = (fleet.view_of(3), fleet.view_of(4))
        self._view = self._views[1]
        owners = [fleet.owners(view, names) for view in self._views]
        # Where it matters who writes, before and after.
        self._moving = [name for name in names if owners[0][name] != owners[1][name]]
        self._owners = {view.ids: found for view, found in zip(self._views, owners, strict=True)}
        self._stopped: list[Member] = []
        self.at_work: list[OpenWrite] = []
        self.events: Counter[str] = Counter()

    def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        deck: list[Callable[[], None]] = []
        while time.monotonic() < until:
            deck = deck or self._random.sample(self._pairs(), len(self._pairs()))
            self._begin_pushes()
            deck.pop()()
            # Another change would put in doubt what this one has wrongly made certain.
            time.sleep(self._random.uniform(1, 2) * STAND_SECONDS)
            self._burst(until)
            self._converge()

    def _pairs(self) -> list[Callable[[], None]]:
        return [self._all_at_once, self._one_by_one, self._death_and_start, self._death_and_removal]

    def _all_at_once(self) -> None:
        self._note("all replaced at once")
        by, view, running = self._random.choice(SIGNALS), self._other_view(), self._running()
        for member in running:
            member.sidecar.process.signal(by)
        for member in running:
            self._kill(member, by)
        for member in self._listed(view):
            self._start(member, view)

    def _one_by_one(self) -> None:
        self._note("all replaced one by one")
        view = self._other_view()
        for member in self._random.sample(self._listed(view), len(self._listed(view))):
            if member not in self._stopped:
                self._kill(member, signal.SIGKILL)
            self._start(member, view)
            self._fleet.wait_ready(member)

    def _death_and_start(self) -> None:
        """Of the owner of pushes that are under way, and of whoever owns them next."""
        self._note("an owner dies and its heir starts")
        before, view = self._view, self._other_view()
        name = self.at_work[-1].repository
        owner, heir = (self._owner(of, name) for of in (before, view))
        self._kill(owner, signal.SIGKILL)
        for member in self._running():
            if member is not heir:
                self._reload(member, view)
        if heir not in self._stopped:
            self._kill(heir, signal.SIGKILL)
        self._start(heir, view)

    def _death_and_removal(self) -> None:
        """Of the one that only one of the lists has."""
        self._note("one dies and is taken off the list")
        last = self._fleet.members[-1]
        if last in self._stopped:
            self._start(last, self._views[1])
        self._kill(last, self._random.choice(SIGNALS))
        self._view = self._views[0]
        for member in self._running():
            self._reload(member, self._view)

    def _burst(self, until: float) -> None:
        """Reloads in any order, restarts with either list, stops."""
        for _ in range(BURST):
            if time.monotonic() > until:
                return
            view = self._random.choice(self._views)
            member = self._random.choice(self._listed(view))
            kind = self._random.choice(["reload", "reload", "restart", "stop"])
            if member in self._stopped:
                kind = "start"
            self._note(f"{kind} of {member.id}", kind)
            if kind == "reload":
                self._reload(member, view)
            elif kind != "start":
                self._kill(member, self._random.choice(SIGNALS))
            if kind in ("start", "restart"):
                self._start(member, view)
            time.sleep(self._random.uniform(0, 2 * PAUSE_SECONDS))

    def _converge(self) -> None:
        """One list for all, until every repository is written again."""
        listed = self._listed(self._view)
        for member in self._random.sample(listed, len(listed)):
            if member in self._stopped:
                self._start(member, self._view)
            else:
                self._reload(member, self._view)
        for member in self._running():
            if member not in listed:
                self._kill(member, self._random.choice(SIGNALS))
        self._writers.wait_for_all(self._names, time.monotonic(), self._fleet.aftermath + SETTLE_SECONDS)

    def _begin_pushes(self) -> None:
        """At their owners, of what may move now."""
        for name in self._random.sample(self._moving, AT_WORK):
            owner = self._owner(self._view, name)
            self.at_work.append(open_write.manifest(owner, name, TAIL * self._fleet.aftermath))

    def _owner(self, view: View, name: str) -> Member:
        id = self._owners[view.ids][name]
        return next(member for member in self._fleet.members if member.id == id)

    def _listed(self, view: View) -> list[Member]:
        return [self._fleet.members[at] for at, _ in view.ids]

    def _other_view(self) -> View:
        self._view = self._views[1] if self._view is self._views[0] else self._views[0]
        return self._view

    def _running(self) -> list[Member]:
        return [member for member in self._fleet.members if member not in self._stopped]

    def _note(self, event: str, kind: str = "") -> None:
        """Seen with a test that fails, by the clock of the replicas' logs."""
        print(f"{time.monotonic():.3f} {event}, {len(self._view.ids)} members")  # noqa: T201
        self.events[kind or event] += 1

    def _kill(self, member: Member, by: signal.Signals) -> None:
        member.sidecar.process.signal(by)
        member.sidecar.process.wait(EXIT_SECONDS)
        self._stopped.append(member)

    def _start(self, member: Member, view: View) -> None:
        self._stopped.remove(member)
        self._fleet.start(member, view)

    def _reload(self, member: Member, view: View) -> None:
        """Without the one that the list has not: a member is not told of its own end."""
        if member in self._listed(view):
            self._fleet.reload(member, view)
