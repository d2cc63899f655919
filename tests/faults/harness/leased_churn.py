"""Members with leases to which everything happens at random, and now and then two things that belong together."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence

from lib.cluster import Member

from . import open_write
from .leased import LeasedFleet
from .open_write import OpenWrite
from .writers import Writers

BURST = 3
PAUSE_SECONDS = 0.5
AT_WORK = 3
# How long these pushes take, as a part of the grace.
TAIL = 0.7
FEWEST = 3
OUTAGES = ("refused", "hanging", "failing", "lost", "flaky", "slow")


class LeasedChurn:
    """Goes on until `run` has had its time, and leaves all members running, and all repositories written."""

    def __init__(self, fleet: LeasedFleet, writers: Writers, names: Sequence[str], seed: int) -> None:
        self._fleet, self._writers, self._names = fleet, writers, names
        self._random = random.Random(seed)
        self._stopped: list[Member] = []
        self.at_work: list[OpenWrite] = []
        self.events: Counter[str] = Counter()
        # When something was done to a process at which a client may have been.
        self.cut_at: list[float] = []
        self.slowest = 0.0

    def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        deck: list[Callable[[], None]] = []
        while time.monotonic() < until:
            deck = deck or self._random.sample(self._pairs(), len(self._pairs()))
            self._begin_pushes()
            deck.pop()()
            for _ in range(self._random.randint(0, BURST)):
                self._pause()
                self._random.choice(self._singles())()
            self._pause()
            self._converge()

    def _pairs(self) -> list[Callable[[], None]]:
        pairs = [self._owner_and_heir, self._death_in_a_handover, self._store_and_death, self._all_at_once, self._death_and_return]
        return [*pairs, self._stopped_in_a_handover] if self._fleet.level.kills else pairs

    def _singles(self) -> list[Callable[[], None]]:
        singles = [self._kill_any, self._end_any, self._leave_any, self._store_of_any, self._store_of_all, self._start_any]
        # What a stopped process does late is lost at L0, which is said, and counted elsewhere.
        return [*singles, self._stop_any] if self._fleet.level.kills else singles

    def _owner_and_heir(self) -> None:
        self._note("an owner dies, and another one dies and starts")
        one, other = self._some(2)
        self._kill(one)
        self._kill(other)
        self._fleet.start(other)

    def _death_in_a_handover(self) -> None:
        self._note("one leaves, and another one dies in the handover")
        one, other = self._some(2)
        self._fleet.begin_leaving(one)
        time.sleep(self._random.uniform(0, 1))
        self._kill(other)

    def _stopped_in_a_handover(self) -> None:
        self._note("one leaves, and another one is stopped in the handover")
        one, other = self._some(2)
        self._fleet.begin_leaving(one)
        time.sleep(self._random.uniform(0, 1))
        self._stop(other)

    def _store_and_death(self) -> None:
        self._note("the store goes, one dies, the store is back")
        self._fleet.leases.is_to(self._random.choice(OUTAGES))
        self._kill(*self._some(1))
        time.sleep(self._random.uniform(0, 1.5) * self._fleet.level.lease)
        self._fleet.leases.is_to("fine")

    def _all_at_once(self) -> None:
        self._note("all end at once and start")
        running = self._running()
        for member in running:
            self._kill(member)
        for member in running:
            self._fleet.start(member)

    def _death_and_return(self) -> None:
        self._note("one dies and is back at once")
        (one,) = self._some(1)
        self._kill(one)
        self._fleet.start(one)

    def _kill_any(self) -> None:
        for member in self._some(1):
            self._note("SIGKILL")
            self._kill(member)

    def _end_any(self) -> None:
        for member in self._some(1):
            self._note("SIGTERM")
            self._fleet.end(member)

    def _leave_any(self) -> None:
        for member in self._some(1):
            self._note("leave")
            self._fleet.begin_leaving(member)

    def _stop_any(self) -> None:
        for member in self._some(1):
            self._note("SIGSTOP")
            self._stop(member)

    def _start_any(self) -> None:
        ended = [member for member in self._fleet.members if member.sidecar.process.exit_code is not None]
        if ended:
            self._note("start")
            self._fleet.start(self._random.choice(ended))

    def _store_of_any(self) -> None:
        how = self._random.choice(OUTAGES)
        self._note(f"the store is {how} for one")
        self._fleet.leases.is_to(how, self._random.choice(self._fleet.members).id)

    def _store_of_all(self) -> None:
        how = self._random.choice(OUTAGES)
        self._note(f"the store is {how}")
        self._fleet.leases.is_to(how)

    def _converge(self) -> None:
        """All run, until every repository is written again."""
        self._fleet.leases.is_to("fine")
        for member in self._stopped:
            member.sidecar.process.signal(signal.SIGCONT)
        self._stopped.clear()
        self._fleet.end_leavers()
        for member in self._fleet.members:
            if member.sidecar.process.exit_code is not None:
                self._fleet.start(member)
        began = time.monotonic()
        limit = 3 * self._fleet.level.takeover
        # Until then the view may be the one from before, in which nobody has missed them yet.
        for member in self._fleet.members:
            self._fleet.wait_ready(member, limit)
        self._fleet.wait_members(len(self._fleet.members), limit)
        self._writers.wait_for_all(self._names, time.monotonic(), limit)
        self.slowest = max(self.slowest, time.monotonic() - began)

    def _begin_pushes(self) -> None:
        """At their owners."""
        owners = self._fleet.owners(self._fleet.leases.members(), self._names)
        for name in self._random.sample(list(self._names), AT_WORK):
            owner = next(member for member in self._fleet.members if member.id == owners[name])
            self.at_work.append(open_write.manifest(owner, name, TAIL * self._fleet.level.aftermath))

    def _running(self) -> list[Member]:
        return [member for member in self._fleet.running() if member not in self._stopped]

    def _some(self, count: int) -> list[Member]:
        """None if too few run: something is to be left to look at."""
        running = self._running()
        return self._random.sample(running, count) if len(running) >= max(count, FEWEST) else []

    def _pause(self) -> None:
        time.sleep(self._random.uniform(0, 2 * PAUSE_SECONDS))

    def _note(self, event: str) -> None:
        """Seen with a test that fails, by the clock of the replicas' logs."""
        print(f"{time.monotonic():.3f} {event}")  # noqa: T201
        self.events[event] += 1

    def _kill(self, member: Member) -> None:
        self.cut_at.append(self._fleet.kill(member))

    def _stop(self, member: Member) -> None:
        member.sidecar.process.signal(signal.SIGSTOP)
        self.cut_at.append(time.monotonic())
        self._stopped.append(member)
