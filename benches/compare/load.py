"""The clients: wrk for many small requests, plain sockets for large bodies and for idle connections."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = "team/app"
MANIFEST = f"/v2/{REPOSITORY}/manifests/v1"
BLOB = f"/v2/{REPOSITORY}/blobs/sha256:{'0' * 64}"
UPLOAD = f"/v2/{REPOSITORY}/blobs/uploads/7d3f9c1e-0000-4000-8000-000000000001"

CONNECTIONS = 32
STREAMS = 8
CHUNK = 1 << 20
SILENCE_SECONDS = 60


class LoadError(Exception):
    """A contestant did not answer as it should."""


@dataclass(frozen=True)
class Small:
    """What wrk saw."""

    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float


def small_gets(port: int, seconds: int) -> Small:
    """GETs of a manifest over kept-alive connections, as many as are answered."""
    script = str(Path(__file__).with_name("report.lua"))
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", script, url(port, MANIFEST)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + SILENCE_SECONDS, check=True)
    report = json.loads(done.stdout.splitlines()[-1])
    if report["errors"] or not report["requests"]:
        raise LoadError(f"{report['errors']} of {report['requests']} small requests failed")
    per_second = report["requests"] / (report["microseconds"] / 1e6)
    return Small(report["requests"], per_second, report["p50"] / 1000, report["p99"] / 1000)


def download(port: int, blob_bytes: int, rounds: int) -> None:
    """Reads the blob `rounds` times on each of the streams."""

    def stream(connection: socket.socket) -> None:
        buffer = memoryview(bytearray(CHUNK))
        for _ in range(rounds):
            connection.sendall(head("GET", BLOB))
            status, length, begun = answer(connection)
            if (status, length) != (200, blob_bytes):
                raise LoadError(f"download: status {status}, {length} bytes instead of {blob_bytes}")
            left = length - begun
            while left > 0:
                read = connection.recv_into(buffer[: min(left, CHUNK)])
                if not read:
                    raise LoadError(f"download: cut {left} bytes before its end")
                left -= read

    on_streams(port, stream)


def upload(port: int, blob_bytes: int, rounds: int) -> None:
    """Sends a blob of this size `rounds` times on each of the streams."""
    part = memoryview(bytes(CHUNK))

    def stream(connection: socket.socket) -> None:
        for _ in range(rounds):
            connection.sendall(head("PATCH", UPLOAD, f"Content-Length: {blob_bytes}"))
            for _ in range(blob_bytes // CHUNK):
                connection.sendall(part)
            status, _, _ = answer(connection)
            if status != 201:
                raise LoadError(f"upload: status {status}")

    on_streams(port, stream)


@contextmanager
def idle_connections(port: int, count: int) -> Iterator[None]:
    """Connections that have been served one request each and now wait."""
    connections = []
    try:
        for _ in range(count):
            connection = connect(port)
            connections.append(connection)
            connection.sendall(head("GET", MANIFEST))
            status, length, begun = answer(connection)
            while begun < length:
                begun += len(connection.recv(length - begun)) or length
            if status != 200:
                raise LoadError(f"idle connection: status {status}")
        yield
    finally:
        for connection in connections:
            connection.close()


def answers(port: int, path: str = MANIFEST) -> bool:
    """Whether a GET is answered with 200."""
    try:
        with connect(port) as connection:
            connection.sendall(head("GET", path))
            return answer(connection)[0] == 200
    except (OSError, LoadError):
        return False


def on_streams(port: int, stream: Callable[[socket.socket], None]) -> None:
    """Runs `stream` on several connections at a time; the first failure is raised here."""
    failures: list[Exception] = []

    def run() -> None:
        try:
            with connect(port) as connection:
                stream(connection)
        except (OSError, LoadError) as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run) for _ in range(STREAMS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise LoadError(f"{len(failures)} of {STREAMS} streams failed: {failures[0]}")


def answer(connection: socket.socket) -> tuple[int, int, int]:
    """Status, length of the body, and how much of it came along with the head."""
    data = b""
    while b"\r\n\r\n" not in data:
        read = connection.recv(1 << 16)
        if not read:
            raise LoadError("the connection ended before an answer")
        data += read
    lines, begun = data.split(b"\r\n\r\n", 1)
    fields = lines.lower().split(b"\r\n")
    lengths = [int(field.split(b":")[1]) for field in fields[1:] if field.startswith(b"content-length:")]
    return int(fields[0].split()[1]), lengths[0] if lengths else 0, len(begun)


def head(method: str, path: str, *more: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: registry.example", *more, "", ""]).encode()


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=SILENCE_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def url(port: int, path: str) -> str:
    return f"http://127.0.0.1:{port}{path}"
