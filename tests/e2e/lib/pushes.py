"""New tags, pushed all the time while something is changed: how long each push took, and what is lost of them."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from .client import Registry, manifest_of
from .process import wait_until

PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 0.05
_CONFIG, _LAYER = b"{}", b"layer"


@dataclass(frozen=True)
class Push:
    repository: str
    tag: str
    began: float
    ended: float
    # None: no answer came.
    status: int | None

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class Pushes:
    """To each repository one push after the other, through each of `bases` in turn, until the block ends."""

    def __init__(self, bases: Sequence[str], repositories: Sequence[str], tags: str = "t") -> None:
        self.done: list[Push] = []
        self._bases = bases
        self._repositories = repositories
        self._tags = tags
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=self._push, args=(name,)) for name in repositories]

    def __enter__(self) -> Pushes:
        with Registry(self._bases) as registry:
            for repository, blob in itertools.product(self._repositories, (_CONFIG, _LAYER)):
                registry.push_blob(repository, blob)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join()

    @contextmanager
    def during(self) -> Iterator[list[Push]]:
        """Fills the list with what was pushed in the block; ends when a push of each repository has begun after it."""
        began, found = time.monotonic(), list[Push]()
        yield found
        self._wait_for_another(time.monotonic())
        found += [push for push in self.done if push.ended >= began]

    def push_once(self, base: str, repository: str, tag: str) -> int | None:
        """What is answered to one more push, now and here."""
        manifest = manifest_of(_CONFIG, [_LAYER], annotations={"test.tag": tag})
        try:
            # A connection of its own: what a kept one meets that is just closed is not the question.
            with Registry([base], reconnect=True) as registry:
                return registry.put_manifest(repository, tag, manifest).status_code
        except httpx.TransportError:
            return None

    def failed(self) -> list[Push]:
        return [push for push in self.done if push.status != 201]

    def lost(self, base: str) -> list[Push]:
        """Those that were acknowledged and whose tag is not there."""
        with Registry([base]) as registry:
            tags = {name: set(registry.tags(name)) for name in self._repositories}
        return [push for push in self.done if push.status == 201 and push.tag not in tags[push.repository]]

    def _wait_for_another(self, moment: float) -> None:
        wanted = set(self._repositories)
        wait_until(
            "a push of each repository",
            lambda: {push.repository for push in list(self.done) if push.began > moment} >= wanted,
            2 * PATIENCE_SECONDS,
        )

    def _push(self, repository: str) -> None:
        for number, base in enumerate(itertools.cycle(self._bases)):
            if self._ends.wait(PAUSE_SECONDS):
                return
            tag, began = f"{self._tags}{number}", time.monotonic()
            status = self.push_once(base, repository, tag)
            self.done.append(Push(repository, tag, began, time.monotonic(), status))
