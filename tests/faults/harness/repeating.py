"""Clients that ask the same again and again while something breaks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from lib.cluster import Member

from .ask import Asker, Seen
from .seed import OTHER_MANIFEST

PAUSE_SECONDS = 0.02


class Repeating:
    """Reads or writes again and again, each request on the connection of the one before."""

    def __init__(self, member: Member, repository: str, kind: str, pause: float = PAUSE_SECONDS) -> None:
        self.kind = kind
        # With the time at which each was begun.
        self.seen: list[tuple[float, Seen]] = []
        self._pause = pause
        self._stop = threading.Event()
        self._asker = Asker(member)
        self._thread = threading.Thread(target=self._run, args=(repository,), daemon=True)
        self._thread.start()

    def begun_after(self, when: float) -> list[Seen]:
        return [seen for began, seen in self.seen if began >= when]

    def ask_no_more(self) -> None:
        self._stop.set()

    def end(self) -> None:
        self.ask_no_more()
        self._thread.join()
        self._asker.close()

    def _run(self, repository: str) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            if self.kind == "read":
                seen = self._asker.read(repository)
            else:
                seen = self._asker.write(repository, OTHER_MANIFEST)
            self.seen.append((began, seen))
            time.sleep(self._pause)


def end_all(clients: Iterable[Repeating]) -> None:
    clients = list(clients)
    for client in clients:
        client.ask_no_more()
    for client in clients:
        client.end()


def many(members: Iterable[Member], repository: str, kind: str, count: int = 1) -> list[Repeating]:
    return [Repeating(member, repository, kind) for member in members for _ in range(count)]
