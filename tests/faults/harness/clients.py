"""The process behind `load.py`: `clients.py WORK OUT` pulls and pushes until SIGTERM, then writes OUT and ends."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import ssl
import sys
import time
from pathlib import Path
from typing import Any

REQUEST_SECONDS = 30.0
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LINE_LIMIT = 1 << 20
TAGS = 100
_REASON = re.compile(rb'"reason": ?"(\w+)"')


class Stale(Exception):
    """A connection that was used before ended before a byte of the answer came: clients send again on a new one."""


class Refused(Exception):
    """No connection: nothing was sent."""


class Clients:
    def __init__(self, work: dict[str, Any]) -> None:
        self.work = work
        self.bases: list[tuple[str, int]] = [(host, port) for host, port in work["bases"]]
        self.idle: dict[tuple[str, int], list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = {}
        self.done: list[dict[str, Any]] = []
        self.running: set[asyncio.Task[None]] = set()
        self.number = 0
        self.tls = ssl.create_default_context(cafile=work["ca"]) if work["ca"] else None

    async def every(self, rate: float, kind: str, stop: asyncio.Event) -> None:
        due = time.monotonic()
        while rate and not stop.is_set():
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.number += 1
            task = asyncio.create_task(self.one(kind, due, self.number))
            self.running.add(task)
            task.add_done_callback(self.running.discard)

    async def one(self, kind: str, due: float, number: int) -> None:
        repository = self.work["repositories"][number % len(self.work["repositories"])]
        # Never what is pulled: over a directory, docker-registry answers 500 while it writes the same tag or digest.
        written = f"t{number}" if self.work["new_tags"] else f"t{number % TAGS}"
        tag = "steady" if kind == "pull" else written
        first = number // len(self.work["repositories"])
        tries = len(self.bases) if self.work["fails_over"] else 1
        status, failure, retry_after, base = 0, "", False, self.bases[0]
        for turn in range(tries):
            base = self.bases[(first + turn) % len(self.bases)]
            try:
                async with asyncio.timeout(REQUEST_SECONDS):
                    status, retry_after, reason = await self.ask(base, kind, repository, tag)
                expected = 200 if kind == "pull" else 201
                failure = "" if status == expected else f"status {status} {reason}"
                break
            except Refused as refused:
                failure = f"refused: {refused}"
            except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError, Stale) as error:
                failure = f"{type(error).__name__}: {error}"
                break
        self.done.append(
            {
                "due": due,
                "seconds": time.monotonic() - due,
                "kind": kind,
                "base": f"{base[0]}:{base[1]}",
                "status": status,
                "failure": failure,
                "retry_after": retry_after,
                "tag": f"{repository}:{tag}",
            }
        )

    async def ask(self, base: tuple[str, int], kind: str, repository: str, tag: str) -> tuple[int, bool, list[bytes]]:
        pooled = self.idle.setdefault(base, [])
        while pooled:
            reader, writer = pooled.pop()
            if reader.at_eof() or writer.is_closing():
                writer.close()
                continue
            try:
                return await self.exchange(base, reader, writer, kind, repository, tag, used=True)
            except Stale:
                continue
        try:
            reader, writer = await asyncio.open_connection(*base, limit=LINE_LIMIT, ssl=self.tls)
        except OSError as error:
            raise Refused(str(error)) from error
        return await self.exchange(base, reader, writer, kind, repository, tag, used=False)

    async def exchange(
        self,
        base: tuple[str, int],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        kind: str,
        repository: str,
        tag: str,
        *,
        used: bool,
    ) -> tuple[int, bool, list[bytes]]:
        kept = False
        try:
            writer.write(self.request(base, kind, repository, tag))
            try:
                await writer.drain()
                first = await reader.readexactly(1)
            except (OSError, asyncio.IncompleteReadError) as error:
                raise Stale(str(error)) if used else error from error
            head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            body = await self.read_body(reader, fields)
            kept = fields.get("connection", "").lower() != "close"
            return int(head[0].split()[1]), "retry-after" in fields, _REASON.findall(body)
        finally:
            if kept:
                self.idle[base].append((reader, writer))
            else:
                writer.close()

    def request(self, base: tuple[str, int], kind: str, repository: str, tag: str) -> bytes:
        line = f"{'GET' if kind == 'pull' else 'PUT'} /v2/{repository}/manifests/{tag} HTTP/1.1\r\n"
        head = f"{line}Host: {base[0]}:{base[1]}\r\nAccept: {OCI_MANIFEST}\r\n"
        if kind == "pull":
            return f"{head}\r\n".encode()
        # A manifest of its own for each tag, for the same reason.
        body = self.work["manifest"].removesuffix("}") + f',"annotations":{{"test.tag":"{tag}"}}}}'
        return f"{head}Content-Type: {OCI_MANIFEST}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()

    @staticmethod
    async def read_body(reader: asyncio.StreamReader, fields: dict[str, str]) -> bytes:
        if fields.get("transfer-encoding", "").lower() != "chunked":
            return await reader.readexactly(int(fields.get("content-length", "0")))
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
        return body


async def run(work: dict[str, Any], out: Path) -> None:
    clients, stop = Clients(work), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print("begun", flush=True)
    await asyncio.gather(
        clients.every(work["pulls_per_second"], "pull", stop),
        clients.every(work["pushes_per_second"], "push", stop),
    )
    if clients.running:
        await asyncio.wait(clients.running)
    out.write_text(json.dumps(clients.done))


if __name__ == "__main__":
    asyncio.run(run(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])))
