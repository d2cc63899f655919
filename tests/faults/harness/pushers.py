"""The process behind `writers.py`: `pushers.py WORK OUT` pushes tags until SIGTERM, and appends each push to OUT."""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

LINE_LIMIT = 1 << 20
# After a connection that was refused: a member that is down is asked again, not asked for all a processor can do.
REFUSED_PAUSE_SECONDS = 0.2
_REASON = re.compile(rb'"reason": ?"(\w+)"')


class Pusher:
    """Pushes to one repository, through one member or any of several, one tag after the other."""

    def __init__(self, work: dict[str, Any], name: str, targets: list[list[Any]], out: Any, seed: str) -> None:
        self._work, self._name, self._targets, self._out = work, name, targets, out
        self._random = random.Random(seed)
        self._tag = seed
        self._open: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}

    async def push(self) -> None:
        number = 0
        while True:
            number += 1
            member, host, port = self._random.choice(self._targets)
            tag = f"t{self._tag}-{number}"
            begun = time.monotonic()
            status, failure = 0, ""
            try:
                async with asyncio.timeout(self._work["patience"]):
                    status, failure = await self._one(member, host, port, tag)
            except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError) as error:
                failure = f"{type(error).__name__}: {error}"
            if not status and (kept := self._open.pop(member, None)):
                kept[1].close()
            done = {
                "repository": self._name,
                "tag": tag,
                "member": member,
                "begun": begun,
                "ended": time.monotonic(),
                "status": status,
                "failure": failure,
            }
            self._out.write(f"{json.dumps(done)}\n")
            await asyncio.sleep(self._random.uniform(0.5, 1.5) * self._work["pause"])
            if failure.startswith("ConnectionRefused"):
                await asyncio.sleep(REFUSED_PAUSE_SECONDS)

    async def _one(self, member: str, host: str, port: int, tag: str) -> tuple[int, str]:
        if member not in self._open:
            self._open[member] = await asyncio.open_connection(host, port, limit=LINE_LIMIT)
        reader, writer = self._open[member]
        target, body = f"/v2/{self._name}/manifests/{tag}", f'{{"tag":"{tag}"}}'
        head = f"PUT {target} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(f"{head}{body}".encode())
        await writer.drain()
        if self._random.random() < self._work["leaving"]:
            await asyncio.sleep(self._random.uniform(0, 0.05))
            return 0, "left"
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in answer[1:])}
        said = await reader.readexactly(int(fields.get("content-length", "0")))
        if fields.get("connection", "").lower() == "close":
            self._open.pop(member)[1].close()
        reasons = b" ".join(_REASON.findall(said)).decode()
        return int(answer[0].split()[1]), reasons


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
        for pusher in pushers:
            pusher.cancel()
        for one in done:
            one.result()


if __name__ == "__main__":
    asyncio.run(run(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])))
