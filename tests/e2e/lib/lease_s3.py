"""A stand-in for S3 that holds its conditions, with faults that a test can order, and a memory of all that was stored.

It looks at a condition and writes without giving way in between, so of many who write at once one is told that it did.
Each member calls it by a port of its own, so it can be away, slow or lying for one member alone. Only what leases need is
there: objects by GET, PUT with If-Match or If-None-Match, DELETE, and a list by prefix. Nobody's signature is looked at.

Run as a program it is that store: `lease_s3 HOST PUTS CONTROL PORT…`.
"""

from __future__ import annotations

import asyncio
import collections
import hashlib
import json
import sys
import urllib.parse
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from .lease_puts import Puts
from .small_http import LINE_LIMIT, response, serve

PREFIX = "fleet"
# What a port may do. `lost`: it does every put, and answers none. `flaky`: it fails every third call. `careless`: it takes conditions and does not
# look at them. `racing`: it looks, gives way, and writes then, as stores do that were not made for it.
MODES = ("fine", "refused", "hanging", "lost", "failing", "flaky", "slow", "careless", "racing")
SLOW_SECONDS = 0.5
RACING_SECONDS = 0.01
NEVER_SECONDS = 3600.0


@dataclass
class _Objects:
    """What all ports share."""

    puts: Puts
    kept: dict[str, bytes] = field(default_factory=dict)
    calls: collections.Counter[str] = field(default_factory=collections.Counter)

    def get(self, name: str) -> bytes:
        value = self.kept.get(name)
        if value is None:
            return _error(404, "NoSuchKey")
        return response(200, value, ETag=_tag(value))

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

    def put(self, name: str, value: bytes) -> bytes:
        self.kept[name] = value
        self.puts.note(name.removeprefix(f"{PREFIX}/"), value)
        return response(200, ETag=_tag(value))

    def list(self, prefix: str) -> bytes:
        found = "".join(f"<Contents><Key>{escape(name)}</Key></Contents>" for name in sorted(self.kept) if name.startswith(prefix))
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
        return response(200, body.encode(), **{"Content-Type": "application/xml"})


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
            await serve(reader, writer, self._answer)
        finally:
            self._open.discard(writer)

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
            answer = response(204)
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
        return self._objects.put(name, body)


def _tag(value: bytes) -> str:
    return f'"{hashlib.md5(value, usedforsecurity=False).hexdigest()}"'


def _error(status: int, code: str) -> bytes:
    return response(status, f"<Error><Code>{code}</Code></Error>".encode(), **{"Content-Type": "application/xml"})


async def _main(host: str, puts: str, control: str, *ports: str) -> None:
    objects = _Objects(Puts(puts))
    doors = {port: _Door(objects, host, int(port)) for port in ports}
    for door in doors.values():
        await door.turn("fine")

    async def obey(_method: str, target: str, _fields: dict[str, str], _body: bytes) -> bytes:
        command = target.strip("/").split("/")
        if command[0] == "mode":
            await doors[command[1]].turn(command[2])
        return response(200, json.dumps(objects.calls).encode(), Connection="close")

    listener = await asyncio.start_server(lambda reader, writer: serve(reader, writer, obey), host, int(control))
    await listener.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
