"""The process behind `writers.py`: `pushers.py WORK OUT` pushes tags until SIGTERM, and appends each push to OUT."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import random
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LINE_LIMIT = 1 << 20
# After a connection that was refused: a member that is down is asked again, not asked for all a processor can do.
REFUSED_PAUSE_SECONDS = 0.2
# Why there is no answer where its client did not wait for one.
LEFT = "left"
_REASON = re.compile(rb'"reason": ?"(\w+)"')


class Cut(Exception):
    """No byte of an answer came on a connection that was kept from before."""


class Pusher:
    """Pushes to one repository, through one member or any of several, one tag after the other.

    With `moving` every other push is of one tag that nobody else pushes, which is pulled through any member after each
    push. With `persistent` it does what HTTP clients do: where a connection is refused, or a kept one ends before an
    answer, it tries the next address.
    """

    def __init__(self, work: dict[str, Any], name: str, targets: list[list[Any]], out: Any, seed: str) -> None:
        self._work, self._name, self._targets, self._out = work, name, targets, out
        self._random = random.Random(seed)
        self._tag = seed
        self._open: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
        self._values = itertools.count()

    async def push(self) -> None:
        for number in itertools.count(1):
            moves = self._work["moving"] and number % 2
            tag = f"m{self._tag}" if moves else f"t{self._tag}-{number}"
            failure = await self._tried(tag)
            if self._work["moving"]:
                await self._tried(f"m{self._tag}", is_pull=True)
            await asyncio.sleep(self._random.uniform(0.5, 1.5) * self._work["pause"])
            if failure.startswith("ConnectionRefused"):
                await asyncio.sleep(REFUSED_PAUSE_SECONDS)

    async def _tried(self, tag: str, *, is_pull: bool = False) -> str:
        """Returns why the last attempt failed."""
        failure = ""
        for member, host, port, is_last in self._addresses():
            begun = time.monotonic()
            status, failure = 0, ""
            # Another value for each attempt: what became of the one before is not known.
            request, value = self._get(tag) if is_pull else self._put(tag)
            try:
                async with asyncio.timeout(self._work["patience"]):
                    status, failure, fields = await self._one(member, host, port, request, leaves=not is_pull)
                value = fields.get("docker-content-digest", "") if is_pull else value
            except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError, Cut) as error:
                failure = f"{type(error).__name__}: {error}"
            except asyncio.CancelledError:
                # It may still be carried out.
                self._note(tag, member, begun, 0, LEFT, value, is_pull=is_pull)
                raise
            if not status and (kept := self._open.pop(member, None)):
                kept[1].close()
            again = not is_last and failure.startswith(("ConnectionRefused", "Cut"))
            self._note(tag, member, begun, status, failure, value, is_pull=is_pull, again=again)
            if not again:
                break
        return failure

    def _note(
        self,
        tag: str,
        member: str,
        begun: float,
        status: int,
        failure: str,
        value: str,
        *,
        is_pull: bool,
        again: bool = False,
    ) -> None:
        done = {
            "repository": self._name,
            "tag": tag,
            "member": member,
            "begun": begun,
            "ended": time.monotonic(),
            "status": status,
            "failure": failure,
            "value": value,
            "is_pull": is_pull,
            "again": again,
        }
        self._out.write(f"{json.dumps(done)}\n")

    def _addresses(self) -> Iterator[tuple[str, str, int, bool]]:
        """One after the other, for as long as the one before was of no use."""
        if not self._work["persistent"]:
            yield *self._random.choice(self._targets), True
            return
        # Each may be of no use twice: its kept connection, and a new one.
        order = self._random.sample(self._targets, len(self._targets)) * 2
        for at, target in enumerate(order):
            yield *target, at == len(order) - 1

    def _put(self, tag: str) -> tuple[str, str]:
        """A request without its host, and the digest of what it pushes."""
        body = json.dumps({"tag": tag, "value": f"{self._tag}-{next(self._values)}"})
        digest = f"sha256:{hashlib.sha256(body.encode()).hexdigest()}"
        return f"PUT {self._target(tag)} HTTP/1.1\r\nContent-Length: {len(body)}\r\nHost: %s\r\n\r\n{body}", digest

    def _get(self, tag: str) -> tuple[str, str]:
        return f"GET {self._target(tag)} HTTP/1.1\r\nHost: %s\r\n\r\n", ""

    def _target(self, tag: str) -> str:
        return f"/v2/{self._name}/manifests/{tag}"

    async def _one(
        self, member: str, host: str, port: int, request: str, *, leaves: bool = False
    ) -> tuple[int, str, dict[str, str]]:
        is_kept = member in self._open
        if not is_kept:
            try:
                self._open[member] = await asyncio.open_connection(host, port, limit=LINE_LIMIT)
            except ConnectionResetError as error:
                # It came while the listener was just being closed: as good as refused, and nothing was sent.
                raise ConnectionRefusedError(str(error)) from error
        reader, writer = self._open[member]
        try:
            writer.write((request % f"{host}:{port}").encode())
            await writer.drain()
            if leaves and self._random.random() < self._work["leaving"]:
                await asyncio.sleep(self._random.uniform(0, 0.05))
                return 0, LEFT, {}
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except (OSError, asyncio.IncompleteReadError) as error:
            if is_kept and not getattr(error, "partial", b""):
                raise Cut(str(error)) from error
            raise
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        said = await reader.readexactly(int(fields.get("content-length", "0")))
        if fields.get("connection", "").lower() == "close":
            self._open.pop(member)[1].close()
        reasons = b" ".join(_REASON.findall(said)).decode()
        return int(lines[0].split()[1]), reasons, fields


async def run(work: dict[str, Any], out: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    # Whole lines at a time, so that whoever reads meanwhile has all that is done.
    with out.open("a", buffering=1) as file:
        each = [[target] for target in work["targets"]] if work["through_each"] else [work["targets"]]
        pushers = [
            asyncio.create_task(Pusher(work, name, targets, file, f"{turn}{number}-{work['label']}").push())
            for number, name in enumerate(work["repositories"])
            for turn, targets in enumerate(each)
        ]
        print("begun", flush=True)
        stopped = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([stopped, *pushers], return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            one.result()
        for pusher in pushers:
            pusher.cancel()
        await asyncio.gather(*pushers, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(run(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])))
