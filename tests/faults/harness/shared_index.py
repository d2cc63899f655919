"""A replica that keeps the tags of a repository in one file that all replicas share, as zot does in its index.json.

A write reads the file, waits, and puts it back whole, under a lock of this process alone. So two replicas that write
one repository at once lose tags. A write is finished even when its client has gone. What each write was, and from when
to when, is in a log, whose times all processes of a machine share.

A tag that begins with `slow-2000ms-` takes that long to be written. One that begins with `sync-2000ms-` is written by
whoever reads it first, as by a registry that fetches from another one on demand.

Run as a program it is that replica.
"""

from __future__ import annotations

import asyncio
import collections
import hashlib
import itertools
import json
import os
import random
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.process import Process, wait_until
from lib.replica import Replica, Served
from lib.store import Directory

LINE_LIMIT = 1 << 20
BODY_PART = 1 << 16
# What a write takes that says nothing of it, in seconds.
WAIT_SECONDS = (0.01, 0.04)
QUIET_SECONDS = 60.0
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_TIMED = re.compile(r"(?P<kind>slow|sync)-(?P<ms>\d+)ms-")
_TARGET = re.compile(r"/v2/(?P<repository>.+)/(?P<kind>manifests|blobs/uploads|blobs|tags)/(?P<rest>[^/?]*)(?:\?.*)?")


@dataclass(frozen=True)
class Write:
    """One write as the replica has seen it: from its head to its end, by the clock of the machine."""

    replica: str
    repository: str
    # Empty for a part of an upload.
    tag: str
    begun: float
    # Not before the index is back in its place, nor before the last byte of an upload.
    ended: float

    def __str__(self) -> str:
        what = f"{self.repository}:{self.tag}" if self.tag else f"an upload to {self.repository}"
        return f"{what} at {self.replica} from {self.begun:.3f} to {self.ended:.3f}"


class SharedIndex(Replica):
    kind = "shared index"
    has_referrers = False

    @classmethod
    def binary(cls) -> str | None:
        return sys.executable

    def writes(self) -> list[Write]:
        """All that have ended."""
        begun: dict[int, dict[str, Any]] = {}
        found = []
        for entry in self._entries():
            if entry["event"] == "begun":
                begun[entry["id"]] = entry
            elif first := begun.pop(entry["id"], None):
                found.append(Write(self.name, first["repository"], first["tag"], first["at"], entry["at"]))
        return found

    def is_writing(self, repository: str, tag: str = "") -> bool:
        entries = [one for one in self._entries() if (one["repository"], one["tag"]) == (repository, tag)]
        return len([one for one in entries if one["event"] == "begun"]) > len(entries) / 2

    def note_death(self) -> None:
        entries = self._entries()
        ended = {entry["id"] for entry in entries if entry["event"] == "ended"}
        for entry in entries:
            if entry["event"] == "begun" and entry["id"] not in ended:
                line = json.dumps(entry | {"event": "ended", "at": time.monotonic()})
                with self._events.open("a") as file:
                    file.write(f"{line}\n")

    def wait_quiet(self) -> None:
        """Until every write has ended."""
        wait_until(f"{self.name} to be done", self._is_quiet, QUIET_SECONDS)

    def _is_quiet(self) -> bool:
        entries = self._entries()
        return len(entries) == 2 * len([one for one in entries if one["event"] == "ended"])

    def _entries(self) -> list[dict[str, Any]]:
        lines = self._events.read_text().splitlines(keepends=True) if self._events.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    @property
    def _events(self) -> Path:
        return self.place.directory / f"{self.name}.writes"

    def _spawn(self) -> Process:
        assert isinstance(self._store, Directory)
        self._store.path.mkdir(exist_ok=True)
        place = self.place
        argv = [*place.prefix, sys.executable, __file__, place.host, str(place.port), self._store.path, self._events]
        return Process(self.name, argv, self.log, {"PYTHONPATH": ":".join(sys.path)})

    def _config(self) -> dict:
        return {}

    def _parse(self, line: str) -> Served | None:  # noqa: ARG002
        return None


def tags(store: Directory, repository: str) -> set[str]:
    """What is in the index at the end."""
    return set(index_of(store, repository))


def index_of(store: Directory, repository: str) -> dict[str, str]:
    """Tag → digest."""
    file = _file_of(store.path, repository)
    return json.loads(file.read_text()) if file.exists() else {}


def _file_of(directory: Path, repository: str) -> Path:
    return directory / f"{repository.replace('/', '+')}.json"


class _Log:
    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        # One replica may be started several times.
        self._ids = itertools.count(time.monotonic_ns())

    def begin(self, repository: str, tag: str) -> dict[str, Any]:
        write = {"id": next(self._ids), "repository": repository, "tag": tag}
        self._note(write, "begun")
        return write

    def end(self, write: dict[str, Any]) -> None:
        self._note(write, "ended")

    def _note(self, write: dict[str, Any], event: str) -> None:
        line = json.dumps(write | {"event": event, "at": time.monotonic()})
        os.write(self._file, f"{line}\n".encode())


@dataclass(frozen=True)
class _Request:
    method: str
    target: str
    fields: Mapping[str, str]

    @property
    def length(self) -> int:
        return int(self.fields.get("content-length", "0"))


class _Server:
    def __init__(self, directory: Path, log: _Log) -> None:
        self._directory = directory
        self._log = log
        self._locks: dict[str, asyncio.Lock] = collections.defaultdict(asyncio.Lock)
        # A task that nobody holds may be collected before it has ended.
        self._running: set[asyncio.Task[None]] = set()
        self._sessions = itertools.count()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, target, _ = head[0].split(" ")
                fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
                request = _Request(method, target, fields)
                assert "transfer-encoding" not in fields, "no client of these tests sends chunks"
                if fields.get("expect", "").lower() == "100-continue":
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                writer.write(await self._answer(request, reader))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, request: _Request, reader: asyncio.StreamReader) -> bytes:
        match = _TARGET.fullmatch(request.target)
        if not match:
            await _body_of(request, reader)
            return _response(200 if request.target.startswith("/v2/") else 404)
        repository, kind, rest = match["repository"], match["kind"], match["rest"]
        if kind == "manifests":
            return await self._manifest(request, reader, repository, rest)
        if kind == "blobs/uploads" and request.method in ("POST", "PATCH", "PUT"):
            return await self._upload(request, reader, repository)
        await _body_of(request, reader)
        if kind == "tags":
            found = {"name": repository, "tags": sorted(self._index_of(repository))}
            return _response(200, json.dumps(found).encode(), head=request.method == "HEAD")
        return _response(404)

    async def _manifest(
        self, request: _Request, reader: asyncio.StreamReader, repository: str, tag: str
    ) -> bytes:
        timed = _TIMED.match(tag)
        if request.method in ("PUT", "DELETE"):
            write = self._log.begin(repository, tag)
            try:
                body = await _body_of(request, reader, keep=True)
            except BaseException:
                self._log.end(write)
                raise
            await self._finish(write, "" if request.method == "DELETE" else _digest(body), _wait_of(tag))
            return _response(201 if request.method == "PUT" else 202)
        await _body_of(request, reader)
        found = self._index_of(repository).get(tag)
        if not found and timed and timed["kind"] == "sync":
            await self._finish(self._log.begin(repository, tag), _digest(b"{}"), _wait_of(tag))
            found = _digest(b"{}")
        if not found:
            return _response(404)
        return _response(200, b"{}", head=request.method == "HEAD", more=f"Docker-Content-Digest: {found}\r\n")

    async def _upload(self, request: _Request, reader: asyncio.StreamReader, repository: str) -> bytes:
        write = self._log.begin(repository, "")
        try:
            await _body_of(request, reader)
        finally:
            self._log.end(write)
        location = f"Location: /v2/{repository}/blobs/uploads/{next(self._sessions)}\r\n"
        return _response(201 if request.method == "PUT" else 202, more=location)

    async def _finish(self, write: dict[str, Any], digest: str, wait: float) -> None:
        """In a task of its own: a client that goes does not end it."""
        task = asyncio.create_task(self._write(write, digest, wait))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.shield(task)

    async def _write(self, write: dict[str, Any], digest: str, wait: float) -> None:
        repository, tag = write["repository"], write["tag"]
        async with self._locks[repository]:
            index = self._index_of(repository)
            await asyncio.sleep(wait)
            index.pop(tag, None)
            if digest:
                index[tag] = digest
            file = _file_of(self._directory, repository)
            unfinished = file.with_suffix(f".{os.getpid()}")
            unfinished.write_text(json.dumps(index))
            unfinished.rename(file)
            self._log.end(write)

    def _index_of(self, repository: str) -> dict[str, str]:
        file = _file_of(self._directory, repository)
        return json.loads(file.read_text()) if file.exists() else {}


async def _body_of(request: _Request, reader: asyncio.StreamReader, *, keep: bool = False) -> bytes:
    """Empty where nothing is kept."""
    rest, kept = request.length, b""
    while rest:
        part = await reader.read(min(rest, BODY_PART))
        if not part:
            raise asyncio.IncompleteReadError(part, rest)
        rest -= len(part)
        kept += part if keep else b""
    return kept


def _response(status: int, body: bytes = b"", *, more: str = "", head: bool = False) -> bytes:
    fields = f"Content-Type: {OCI_MANIFEST}\r\nContent-Length: {len(body)}\r\n{more}"
    return f"HTTP/1.1 {status} Status\r\n{fields}\r\n".encode() + (b"" if head else body)


def _wait_of(tag: str) -> float:
    timed = _TIMED.match(tag)
    return int(timed["ms"]) / 1e3 if timed else random.uniform(*WAIT_SECONDS)


def _digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


async def _main(host: str, port: str, directory: str, events: str) -> None:
    server = _Server(Path(directory), _Log(Path(events)))
    listener = await asyncio.start_server(server.serve, host, int(port), limit=LINE_LIMIT)
    await listener.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
