"""The load, a program of its own (benches/load): what it is asked to do, and what it saw."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from processes import Process, free_ports

REPOSITORY = "team/app"
# A run that says nothing for so long, beyond the time that it was given, has failed.
SILENCE_SECONDS = 90
CHURN_WORKERS = 8
PULLERS = 8
KIB, MIB = 1 << 10, 1 << 20
CONFIG_BYTES = 5 * KIB
# A small image: what changes at each push, what a language brings, and the system below.
LAYER_BYTES = (96 * KIB, 1 * MIB, 3 * MIB, 12 * MIB)


class LoadError(Exception):
    """A contestant did not answer as it should."""


@dataclass(frozen=True)
class Paths:
    """What is asked for in one repository."""

    repository: str
    blob: str
    # Takes any body, over and over; no real registry does.
    upload: str | None = None

    @property
    def manifest(self) -> str:
        return f"/v2/{self.repository}/manifests/v1"


@dataclass(frozen=True)
class Door:
    """Where a contestant is asked, and the processes whose work is counted."""

    port: int
    authority: Path | None
    watch: tuple[int, ...]
    paths: Paths

    def words(self) -> list[str]:
        words = ["--port", str(self.port)]
        if self.authority:
            words += ["--tls", str(self.authority)]
        if self.watch:
            words += ["--watch", ",".join(map(str, self.watch))]
        return words


class Load:
    """The program, and what it is run with."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def gets(self, door: Door, connections: int, seconds: float, warm_up: float, rate: float | None = None) -> dict:
        words = ["--path", door.paths.manifest, "--connections", connections, *self._time(seconds, warm_up)]
        return self._run("gets", door, *words, *(["--rate", rate] if rate else []))

    def bodies(self, door: Door, streams: int, count: int, blob_bytes: int, *, up: bool) -> dict:
        words = ["--up", "--path", door.paths.upload] if up else ["--path", door.paths.blob]
        return self._run("bodies", door, *words, "--streams", streams, "--count", count, "--bytes", blob_bytes)

    def churn(self, door: Door, seconds: float, warm_up: float) -> dict:
        words = ["--path", door.paths.manifest, "--connections", CHURN_WORKERS, *self._time(seconds, warm_up)]
        return self._run("churn", door, *words)

    def pull(self, door: Door, seconds: float, warm_up: float) -> dict:
        repository = door.paths.repository
        image = ["--manifest", door.paths.manifest, "--config", blob(repository, CONFIG_BYTES)]
        for layer in LAYER_BYTES:
            image += ["--layer", blob(repository, layer)]
        return self._run("pull", door, *image, "--pullers", PULLERS, *self._time(seconds, warm_up))

    @contextmanager
    def idle(self, door: Door) -> Iterator[IdleConnections]:
        """Connections that have been served one request each and now wait."""
        command = [self._program, "idle", *door.words(), "--path", door.paths.manifest]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as child:
            try:
                yield IdleConnections(child)
            finally:
                child.stdin.close()
                # It closes what it holds, and ends.
                child.stdout.read()

    def _run(self, command: str, door: Door, *words: object) -> dict:
        called = [str(word) for word in (self._program, command, *door.words(), *words)]
        try:
            done = subprocess.run(called, capture_output=True, text=True, timeout=SILENCE_SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise LoadError(f"{command}: nothing for {SILENCE_SECONDS} s") from error
        if done.returncode:
            raise LoadError(f"{command}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    @staticmethod
    def _time(seconds: float, warm_up: float) -> list[str]:
        return ["--seconds", str(seconds), "--warm-up", str(warm_up)]


class IdleConnections:
    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child

    def grow_to(self, count: int) -> None:
        self._child.stdin.write(f"{count}\n")
        self._child.stdin.flush()
        if not self._child.stdout.readline():
            raise LoadError(f"idle connections: {self._child.stderr.read().strip()}")


class Upstream:
    """Stands in for a replica, fast enough that the proxy before it is what is measured."""

    def __init__(self, program: Path, directory: Path, blob_bytes: int, cpus: set[int]) -> None:
        directory.mkdir()
        (self.port,) = free_ports(1)
        self.socket = directory / "socket"
        upload = f"/v2/{REPOSITORY}/blobs/uploads/7d3f9c1e-0000-4000-8000-000000000001"
        self.paths = Paths(REPOSITORY, blob(REPOSITORY, blob_bytes), upload)
        command = [program, "serve", "--port", str(self.port), "--socket", self.socket]
        self.process = Process(command, directory / "log", cpus)


def blob(repository: str, size: int) -> str:
    """The upstream reads the size off the digest."""
    return f"/v2/{repository}/blobs/sha256:{size:064x}"


def answers(door: Door, method: str = "GET", path: str | None = None) -> bool:
    """Whether a request without a body is answered as it should be."""
    try:
        if door.authority:
            context = ssl.create_default_context(cafile=str(door.authority))
            connection = http.client.HTTPSConnection("127.0.0.1", door.port, timeout=SILENCE_SECONDS, context=context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=SILENCE_SECONDS)
        with closing(connection):
            connection.request(method, path or door.paths.manifest)
            return 200 <= connection.getresponse().status < 300
    except (OSError, http.client.HTTPException):
        return False
