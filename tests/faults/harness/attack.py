"""Starts hostile clients as processes of their own, and reads what became of them."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

from lib.client import Registry
from lib.cluster import Cluster, Member
from lib.process import Process, wait_until

START_SECONDS = 30.0
_numbers = itertools.count()


class Attack:
    """`program` is a file beside this one."""

    def __init__(self, program: str, directory: Path, **task: Any) -> None:
        stem = f"attack-{next(_numbers)}"
        told, self._out = directory / f"{stem}.json", directory / f"{stem}-done.json"
        told.write_text(json.dumps(task))
        argv = [sys.executable, Path(__file__).with_name(program), told, self._out]
        self._process = Process(stem, argv, directory / f"{stem}.log")
        wait_until("the attack to begin", self._begun, START_SECONDS)

    def done(self, timeout: float) -> list[dict[str, Any]]:
        """Waits until it has ended by itself."""
        wait_until("the attack to end", lambda: self._process.exit_code is not None, timeout)
        assert self._process.exit_code == 0, self._process.tail()
        self._process.stop()
        return json.loads(self._out.read_text())

    def _begun(self) -> bool:
        assert self._process.exit_code in (None, 0), self._process.tail()
        return "begun" in self._process.text()


def head_of_upload(cluster: Cluster, arrival: Member, repository: str, length: int) -> str:
    """Begins an upload. Returns the head of a PATCH that announces so many bytes of it."""
    with Registry([arrival.sidecar.base], cluster.ca) as registry:
        location = registry.start_upload(repository)
    return (
        f"PATCH {location} HTTP/1.1\r\nHost: {arrival.sidecar.host}\r\nContent-Length: {length}\r\n"
        "Content-Type: application/octet-stream\r\n\r\n"
    )


def crowd_of_uploads(arrival: Member, head: str, directory: Path, **task: Any) -> Attack:
    """Many clients at once, each of which sends this head on a connection of its own."""
    place = arrival.sidecar.place
    return Attack("slow.py", directory, kind="crowd", host=place.host, port=place.clients, head=head, **task)
