"""One small process that is every replica of a large fleet: a registry in memory, at many addresses.

It knows what a push and a pull need, and no more. Run as a program it is that process.
"""

from __future__ import annotations

import asyncio
import collections
import hashlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .process import Process, accepts
from .small_http import response, serve

START_SECONDS = 30.0
_TARGET = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs/uploads|blobs|tags)/(?P<last>[^/?]*)(?:\?.*)?")


class StandIn:
    """The running process. `stop` ends it."""

    def __init__(self, hosts: Sequence[str], port: int, directory: Path) -> None:
        self.port = port
        # As a module: this file is part of a package.
        package = Path(__file__).resolve().parents[1]
        program = f"import sys; sys.path.insert(0, {str(package)!r}); from lib import stand_in; stand_in.main()"
        argv = [sys.executable, "-B", "-c", program, str(port), *hosts]
        self.process = Process("stand-in replicas", argv, directory / "stand-in.log")
        self.process.wait_ready(lambda: accepts(hosts[-1], port), START_SECONDS)

    def stop(self) -> None:
        self.process.stop()


class Answer(NamedTuple):
    status: int
    fields: dict[str, str]
    body: bytes = b""


class Registry:
    """What all replicas share."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}
        self._manifests: dict[str, dict[str, bytes]] = collections.defaultdict(dict)

    def answer(self, method: str, target: str, fields: dict[str, str], body: bytes) -> Answer:
        found = _TARGET.fullmatch(target)
        if not found:
            return Answer(200, {}) if target in ("/v2/", "/readyz") else Answer(404, {})
        name, kind, last = found["name"], found["kind"], found["last"]
        if kind == "blobs/uploads":
            return self._upload(method, name, last, body)
        if kind == "tags":
            tags = ",".join(f'"{tag}"' for tag in self._manifests[name])
            return Answer(200, {"Content-Type": "application/json"}, f'{{"name":"{name}","tags":[{tags}]}}'.encode())
        kept = self._blobs if kind == "blobs" else self._manifests[name]
        if method == "PUT":
            kept[last] = body
            return Answer(201, {"Location": target, "Docker-Content-Digest": _digest(body)})
        if last not in kept:
            return Answer(404, {})
        return Answer(200, {"Content-Type": fields.get("accept", "*/*")}, kept[last])

    def _upload(self, method: str, name: str, last: str, body: bytes) -> Answer:
        if method == "POST":
            return Answer(202, {"Location": f"/v2/{name}/blobs/uploads/one"})
        digest = _digest(body)
        self._blobs[digest] = body
        return Answer(201, {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest})


def _digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


async def _run(port: int, hosts: Sequence[str]) -> None:
    registry = Registry()

    async def answer(method: str, target: str, fields: dict[str, str], body: bytes) -> bytes:
        said = registry.answer(method, target, fields, body)
        return response(said.status, said.body, head=method == "HEAD", **said.fields)

    server = await asyncio.start_server(lambda *ends: serve(*ends, answer), list(hosts), port, reuse_address=True)
    await server.serve_forever()


def main() -> None:
    asyncio.run(_run(int(sys.argv[1]), sys.argv[2:]))
