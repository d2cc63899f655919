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

START_SECONDS = 20.0
# Longer than a write is held by default.
PATIENCE_SECONDS = 30.0
# So long that a lost push is not put back by one that was begun before.
PAUSE_SECONDS = 0.15
CREATED = 201
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


class Writers:
    """Running clients; `with` ends them. Each waits for its answer, then pushes the next tag."""

    def __init__(
        self,
        members: Sequence[Member],
        repositories: Sequence[str],
        directory: Path,
        *,
        through_each: bool = True,
        pause: float = PAUSE_SECONDS,
        leaving: float = 0.0,
    ) -> None:
        """`through_each`: a client for each repository and member, else one for each repository, which takes any of the
        members. `leaving`: the share of pushes whose client does not wait for the answer."""
        stem = f"writers-{next(_numbers)}"
        told, self._out = directory / f"{stem}.json", directory / f"{stem}.done"
        places = [member.sidecar.place for member in members]
        work = {
            "targets": [[place.id, place.host, place.clients] for place in places],
            "repositories": list(repositories),
            "through_each": through_each,
            "pause": pause,
            "leaving": leaving,
            "patience": PATIENCE_SECONDS,
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
        lines = self._out.read_text().splitlines(keepends=True) if self._out.exists() else []
        return [Push(**json.loads(line)) for line in lines if line.endswith("\n")]

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
