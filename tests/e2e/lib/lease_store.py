"""A stand-in for S3 that holds its conditions, with faults that a test can order, and a memory of all that was stored.

It looks at a condition and writes without giving way in between, so of many who write at once one is told that it did.
Each member calls it by a port of its own, so it can be away, slow or lying for one member alone. Only what leases need is
there: objects by GET, PUT with If-Match or If-None-Match, DELETE, and a list by prefix. Nobody's signature is looked at.

Every put that was carried out is noted in a log, by the clock that all processes of the machine share: who held a lease,
who lost it to a fence, and what the views were is read from there, never from what a member says of itself.

Run as a program it is that store: `lease_store.py HOST PUTS CONTROL PORT…`.
"""

from __future__ import annotations

import asyncio
import collections
import hashlib
import json
import os
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from lib.process import Ports, Process, accepts
from lib.sidecar import Settings

BUCKET, REGION = "leases", "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "testtest"}
START_SECONDS = 20.0
LINE_LIMIT = 1 << 20
# What a port may do. `lost`: it does every put, and answers none. `flaky`: it fails every third call. `careless`: it takes conditions and does not
# look at them. `racing`: it looks, gives way, and writes then, as stores do that were not made for it.
MODES = ("fine", "refused", "hanging", "lost", "failing", "flaky", "slow", "careless", "racing")
SLOW_SECONDS = 0.5
RACING_SECONDS = 0.01
NEVER_SECONDS = 3600.0


@dataclass(frozen=True)
class Put:
    """One that was carried out."""

    at: float
    # By which port: whose it was.
    port: int
    # Without the prefix: `view`, or `lease/` and a member.
    key: str
    value: dict[str, Any]


class LeaseStore:
    """The running process; a port for each of `names`. `stop` ends it."""

    def __init__(self, names: Sequence[str], ports: Ports, directory: Path, host: str = "127.0.0.1") -> None:
        self._host = host
        self._ports = {name: ports.take(host) for name in names}
        self._control = ports.take(host)
        self._puts = directory / "store.puts"
        argv = [sys.executable, __file__, host, self._puts, str(self._control), *map(str, self._ports.values())]
        env = {"PYTHONPATH": ":".join(sys.path)}
        self.process = Process("lease store", argv, directory / "store.log", env)
        self.process.wait_ready(lambda: accepts(host, self._control), START_SECONDS)

    def settings(self, name: str) -> Settings:
        """What `cluster.coordination.store` says of it. `CREDENTIALS` go by the environment."""
        return {"s3": {"bucket": BUCKET, "prefix": "fleet", "region": REGION, "endpoint": self.endpoint(name)}}

    def endpoint(self, name: str) -> str:
        return f"http://{self._host}:{self._ports[name]}"

    def is_to(self, mode: str, *names: str) -> None:
        """From now on, for these members, or for all."""
        assert mode in MODES, mode
        for name in names or self._ports:
            self._tell(f"mode/{self._ports[name]}/{mode}")

    def calls(self) -> dict[str, int]:
        """How many were answered, by method."""
        return json.loads(self._tell("calls"))

    def puts(self) -> list[Put]:
        """Every one that changed a lease or the view, oldest first."""
        lines = self._puts.read_text().splitlines(keepends=True) if self._puts.exists() else []
        return [Put(**json.loads(line)) for line in lines if line.endswith("\n")]

    def lease_of(self, member: str) -> dict[str, Any]:
        return next((put.value for put in reversed(self.puts()) if put.key == f"lease/{member}"), {})

    def view(self) -> dict[str, Any]:
        return next((put.value for put in reversed(self.puts()) if put.key == "view"), {})

    def members(self) -> list[str]:
        """Of the view in force."""
        return [seat["id"] for seat in self.view().get("now", {}).get("members", [])]

    def fenced(self, since: float = 0.0) -> list[str]:
        """Whom a lease was taken from, each time."""
        return [
            put.key.removeprefix("lease/")
            for put in self.puts()
            if put.at >= since and put.key.startswith("lease/") and put.value["state"] == "fenced"
        ]

    def stop(self) -> None:
        self.process.stop()

    def _tell(self, command: str) -> str:
        with urllib.request.urlopen(f"http://{self._host}:{self._control}/{command}", timeout=10) as answer:
            return answer.read().decode()


@dataclass
class _Objects:
    """What all ports share."""

    puts: int
    kept: dict[str, bytes] = field(default_factory=dict)
    calls: collections.Counter[str] = field(default_factory=collections.Counter)

    def get(self, name: str) -> bytes:
        value = self.kept.get(name)
        if value is None:
            return _error(404, "NoSuchKey")
        return _response(200, value, ETag=_tag(value))

    def fault(self, name: str, fields: dict[str, str]) -> bytes:
        """Empty where the conditions hold."""
        there = self.kept.get(name)
        if "if-none-match" in fields and there is not None:
            return _error(412, "PreconditionFailed")
        if match := fields.get("if-match"):
            if there is None:
                return _error(404, "NoSuchKey")
            if match != _tag(there):
                return _error(412, "PreconditionFailed")
        return b""

    def put(self, name: str, value: bytes, port: int) -> bytes:
        self.kept[name] = value
        # Of what a store proves itself with, nothing is said later.
        if name.endswith("/view") or "/lease/" in name:
            key = name[name.rindex("/lease/") + 1 :] if "/lease/" in name else "view"
            line = json.dumps({"at": time.monotonic(), "port": port, "key": key, "value": json.loads(value)})
            os.write(self.puts, f"{line}\n".encode())
        return _response(200, ETag=_tag(value))

    def list(self, prefix: str) -> bytes:
        found = "".join(f"<Contents><Key>{escape(name)}</Key></Contents>" for name in sorted(self.kept) if name.startswith(prefix))
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
        return _response(200, body.encode(), **{"Content-Type": "application/xml"})


class _Door:
    """One member's port."""

    def __init__(self, objects: _Objects, host: str, port: int) -> None:
        self._objects, self._host, self._port = objects, host, port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._mode = "fine"
        self._calls = 0

    async def turn(self, mode: str) -> None:
        self._mode = mode
        if mode == "refused" and self._server:
            self._server.close()
            self._server = None
        elif mode != "refused" and not self._server:
            self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=LINE_LIMIT)
        # What is under way is cut: nobody knows whether it was done.
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, target, _ = head[0].split(" ")
                fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
                body = await reader.readexactly(int(fields.get("content-length", "0")))
                writer.write(await self._answer(method, target, fields, body))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer(self, method: str, target: str, fields: dict[str, str], body: bytes) -> bytes:
        self._calls += 1
        if self._mode == "failing" or (self._mode == "flaky" and self._calls % 3 == 0):
            return _error(503, "SlowDown")
        if self._mode == "hanging":
            await asyncio.sleep(NEVER_SECONDS)
        if self._mode == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        place = urllib.parse.urlsplit(target)
        name = urllib.parse.unquote(place.path).lstrip("/").partition("/")[2]
        self._objects.calls[method] += 1
        if method == "PUT":
            answer = await self._put(name, fields, body)
        elif method == "DELETE":
            self._objects.kept.pop(name, None)
            answer = _response(204)
        elif not name:
            answer = self._objects.list(urllib.parse.parse_qs(place.query).get("prefix", [""])[0])
        else:
            answer = self._objects.get(name)
        if self._mode == "lost" and method == "PUT":
            await asyncio.sleep(NEVER_SECONDS)
        return answer

    async def _put(self, name: str, fields: dict[str, str], body: bytes) -> bytes:
        if self._mode != "careless" and (fault := self._objects.fault(name, fields)):
            return fault
        if self._mode == "racing":
            await asyncio.sleep(RACING_SECONDS)
        return self._objects.put(name, body, self._port)


def _tag(value: bytes) -> str:
    return f'"{hashlib.md5(value, usedforsecurity=False).hexdigest()}"'


def _response(status: int, body: bytes = b"", **fields: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in fields.items())]
    # A 204 has no length.
    return "\r\n".join([lines[0], *lines[1 + (status == 204) :], "", ""]).encode() + body


def _error(status: int, code: str) -> bytes:
    return _response(status, f"<Error><Code>{code}</Code></Error>".encode(), **{"Content-Type": "application/xml"})


async def _main(host: str, puts: str, control: str, *ports: str) -> None:
    objects = _Objects(os.open(puts, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    doors = {port: _Door(objects, host, int(port)) for port in ports}
    for door in doors.values():
        await door.turn("fine")

    async def obey(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
            command = target.strip("/").split("/")
            if command[0] == "mode":
                await doors[command[1]].turn(command[2])
            writer.write(_response(200, json.dumps(objects.calls).encode(), Connection="close"))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(obey, host, int(control))
    await listener.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
