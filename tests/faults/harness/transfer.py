"""Large uploads and downloads that can be stopped in the middle."""

from __future__ import annotations

import hashlib
import http.client
import random
import select
import socket
import time
from collections.abc import Callable
from functools import cache
from urllib.parse import quote

from lib.client import Registry
from lib.cluster import Member

from .ask import TIMEOUT_SECONDS, Seen
from .scale import MIB

_PIECE = random.Random(11).randbytes(MIB)
_READ = 256 << 10
# A transfer that goes on for so many times the bytes after which it was to be broken is not being broken.
ENOUGH = 64


@cache
def digest(size: int) -> str:
    """Of the blob of this size that `Upload` sends."""
    summed = hashlib.sha256()
    for _ in range(size // MIB):
        summed.update(_PIECE)
    return f"sha256:{summed.hexdigest()}"


class Upload:
    """One PATCH of unknown length, as docker sends it, and the PUT that closes it."""

    def __init__(self, member: Member, repository: str, size: int) -> None:
        assert size % MIB == 0
        self._member = member
        self._repository = repository
        self._size = size
        self._sent = 0
        with Registry([member.sidecar.base]) as registry:
            location = registry.start_upload(repository)
        place = member.sidecar.place
        self._socket = socket.create_connection((place.host, place.clients), timeout=TIMEOUT_SECONDS)
        self._socket.sendall(
            f"PATCH {location} HTTP/1.1\r\nHost: {member.sidecar.host}\r\nTransfer-Encoding: chunked\r\n"
            "Content-Type: application/octet-stream\r\n\r\n".encode()
        )

    def send(self, until: int) -> None:
        """Up to this many bytes of the blob."""
        while self._sent < until:
            self._socket.sendall(b"%x\r\n" % MIB + _PIECE + b"\r\n")
            self._sent += MIB

    def send_rest(self) -> tuple[Seen, str]:
        """Sends what is left, unless an answer or the end comes first. Returns what was seen, and the next Location."""
        began = time.monotonic()
        try:
            while self._sent < self._size and not self._speaks():
                self.send(self._sent + MIB)
            if self._sent == self._size:
                self._socket.sendall(b"0\r\n\r\n")
        except OSError:
            pass  # an answer may still be there to be read
        try:
            answer = http.client.HTTPResponse(self._socket, method="PATCH")
            answer.begin()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            seen = Seen(answer.status, time.monotonic() - began, fields=fields, body=answer.read())
            return seen, fields.get("location", "")
        except (OSError, http.client.HTTPException) as error:
            return Seen(0, time.monotonic() - began, cut=f"{type(error).__name__}"), ""
        finally:
            self._socket.close()

    def close(self, location: str) -> None:
        with Registry([self._member.sidecar.base]) as registry:
            registry.expect(201, "PUT", f"{location}&digest={quote(digest(self._size))}")

    def _speaks(self) -> bool:
        return bool(select.select([self._socket], [], [], 0)[0])


def push(member: Member, repository: str, size: int) -> None:
    upload = Upload(member, repository, size)
    seen, location = upload.send_rest()
    assert seen.status == 202, seen
    upload.close(location)


def pull(member: Member, path: str, at: int = 0, then: Callable[[], None] = lambda: None) -> tuple[Seen, int, str]:
    """GETs this; after `at` bytes does `then`. Returns what was seen, how many bytes came, and their digest."""
    place = member.sidecar.place
    connection = http.client.HTTPConnection(place.host, place.clients, timeout=TIMEOUT_SECONDS)
    began, count, status, summed = time.monotonic(), 0, 0, hashlib.sha256()
    cut, done = "", False
    try:
        connection.connect()
        # A small window: what was not read yet is still at the replica when that dies.
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _READ)
        connection.request("GET", path)
        answer = connection.getresponse()
        status = answer.status
        while True:
            piece = answer.read1(_READ)
            count += len(piece)
            summed.update(piece)
            if not piece:
                if answer.length:
                    raise http.client.IncompleteRead(b"", answer.length)
                break
            assert not at or count < ENOUGH * at, f"{count} bytes came, and nothing broke"
            if count >= at and not done:
                done = True
                then()
                began = time.monotonic()
    except (OSError, http.client.HTTPException, ValueError) as error:
        cut = type(error).__name__
    finally:
        connection.close()
    return Seen(status, time.monotonic() - began, cut=cut), count, f"sha256:{summed.hexdigest()}"
