"""Clients that push tags while members come and go, in a process of their own. No tag is pushed twice."""

from __future__ import annotations

import itertools
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.cluster import Member
from lib.process import Process, wait_until
from lib.sidecar import Place

from .history import Operation, Outcome

START_SECONDS = 20.0
# Longer than a write is held by default.
PATIENCE_SECONDS = 30.0
# So long that a lost push is not put back by one that was begun before.
PAUSE_SECONDS = 0.15
CREATED = 201
REFUSED = 503
SEEN = (200, 404)
LEFT = "left"
_numbers = itertools.count()


@dataclass(frozen=True)
class Push:
    """One of them. `failure` says why there was no answer, or which reason an error gave."""

    repository: str
    tag: str
    member: str
    begun: float
    ended: float
    # 0 where no answer came.
    status: int
    failure: str
    # The digest of what was pushed, or seen.
    value: str = ""
    is_pull: bool = False
    # Its client went on to another address at once.
    again: bool = False

    @property
    def outcome(self) -> Outcome:
        if self.status == CREATED:
            return Outcome.DONE
        # What is cut is told by another status, or by none.
        return Outcome.REFUSED if self.status == REFUSED else Outcome.UNKNOWN

    def operation(self) -> Operation:
        outcome = Outcome.DONE if self.is_pull else self.outcome
        return Operation(f"{self.repository}:{self.tag}", self.value, self.begun, self.ended, not self.is_pull, outcome)


class Writers:
    """Running clients; `with` ends them. Each waits for its answer, then pushes the next tag."""

    def __init__(
        self,
        members: Sequence[Member | Place],
        repositories: Sequence[str],
        directory: Path,
        *,
        through_each: bool = True,
        pause: float = PAUSE_SECONDS,
        leaving: float = 0.0,
        moving: bool = False,
        persistent: bool = False,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """`through_each`: a client for each repository and member, else one for each repository, which takes any of the
        members. `leaving`: the share of pushes whose client does not wait for the answer. `moving`, `persistent`: see
        `pushers.py`."""
        stem = f"writers-{next(_numbers)}"
        told, self._out = directory / f"{stem}.json", directory / f"{stem}.done"
        self._all: list[Push] = []
        self._read = 0
        places = [one.sidecar.place if isinstance(one, Member) else one for one in members]
        work = {
            "targets": [[place.id, place.host, place.clients] for place in places],
            "repositories": list(repositories),
            "through_each": through_each,
            "pause": pause,
            "leaving": leaving,
            "moving": moving,
            "persistent": persistent,
            "patience": patience,
            "label": stem,
        }
        told.write_text(json.dumps(work))
        argv = [sys.executable, Path(__file__).with_name("pushers.py"), told, self._out]
        self._process = Process(stem, argv, directory / f"{stem}.log")
        self._process.wait_ready(lambda: "begun" in self._process.text(), START_SECONDS)

    def __enter__(self) -> Writers:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """What is under way is left alone: nobody knows what became of it."""
        if self._process.exit_code is None:
            code = self._process.stop()
            assert code == 0, self._process.tail()

    def done(self) -> list[Push]:
        """Every push that has ended, one way or the other."""
        return [one for one in self.all() if not one.is_pull]

    def pulls(self) -> list[Push]:
        return [one for one in self.all() if one.is_pull]

    def history(self) -> list[Operation]:
        """Pulls that failed have seen nothing."""
        return [one.operation() for one in self.all() if not one.is_pull or one.status in SEEN]

    def failed(self, since: float = 0.0) -> list[Push]:
        """Pushes and pulls of which their client has to tell its user."""
        return [
            one
            for one in self.all()
            if one.ended >= since
            and not (one.again or one.failure == LEFT)
            and one.status not in (SEEN if one.is_pull else (CREATED,))
        ]

    def all(self) -> list[Push]:
        if self._out.exists():
            with self._out.open("rb") as file:
                file.seek(self._read)
                # What is not a whole line yet is read the next time.
                said, newline, _ = file.read().rpartition(b"\n")
            self._read += len(said) + len(newline)
            self._all += [Push(**json.loads(line)) for line in said.splitlines()]
        return self._all

    def acknowledged(self, since: float = 0.0) -> list[Push]:
        """Those that were begun after that time."""
        return [push for push in self.done() if push.status == CREATED and push.begun >= since]

    def wait_for_all(self, repositories: Iterable[str], since: float, limit: float) -> float:
        """Until each of them has taken a push that ended after `since`. Returns when the last one had."""
        wanted = set(repositories)

        def ends() -> list[float]:
            first: dict[str, float] = {}
            for push in self.done():
                if push.status == CREATED and push.ended >= since and push.repository in wanted:
                    first.setdefault(push.repository, push.ended)
            return list(first.values()) if len(first) == len(wanted) else []

        try:
            return max(wait_until("every repository to take a push", ends, limit))
        except AssertionError as error:
            raise AssertionError(f"{error}; seen since then: {self.outcomes(since)}") from error

    def outcomes(self, since: float = 0.0) -> str:
        seen = Counter(f"{push.status or 'none'} {push.failure}".strip() for push in self.done() if push.ended >= since)
        return ", ".join(f"{count} × {outcome}" for outcome, count in seen.most_common())
