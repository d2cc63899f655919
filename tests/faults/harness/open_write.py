"""One write that a replica is at for as long as a test wants, while other things happen."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Sequence

from lib.cluster import Member
from lib.process import wait_until

from .ask import once
from .shared_index import SharedIndex

BEGIN_SECONDS = 10.0
# Longer than any of these writes, and than the wait of the longest.
TIMEOUT_SECONDS = 120.0
UPLOAD_BYTES = 1 << 20
BODY = b"{}"
CREATED = 201
_numbers = itertools.count()


class OpenWrite:
    """Sent through a member, and begun by that member's replica. Its answer is read by a thread."""

    def __init__(self, member: Member, repository: str, head: str, body: bytes, *, tag: str, rest: bytes = b"") -> None:
        """`body` begins with the fields of its own; `rest` is what is not sent before `send_rest`."""
        assert isinstance(member.replica, SharedIndex)
        self.repository, self.tag, self.replica = repository, tag, member.replica
        self._rest = rest
        # 0 as long as there is none, or if the connection broke.
        self.status = 0
        place = member.sidecar.place
        self._socket = socket.create_connection((place.host, place.clients), timeout=TIMEOUT_SECONDS)
        self._socket.sendall(f"{head} HTTP/1.1\r\nHost: {member.sidecar.host}\r\n".encode() + body)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        wait_until(f"{self.replica.name} to begin {tag or 'an upload'}", self.is_running, BEGIN_SECONDS)

    @property
    def acknowledged(self) -> bool:
        return self.status == CREATED and bool(self.tag)

    def is_running(self) -> bool:
        """At the replica, whatever became of its client."""
        return self.replica.is_writing(self.repository, self.tag)

    def leave(self) -> None:
        """The client goes without waiting for the answer."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._socket.close()

    def send_rest(self) -> None:
        rest, self._rest = self._rest, b""
        with contextlib.suppress(OSError):
            self._socket.sendall(rest)

    def finish(self) -> int:
        """Sends what is missing, and waits for the answer."""
        self.send_rest()
        self._reader.join(TIMEOUT_SECONDS)
        self._socket.close()
        return self.status

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            answer = b""
            while b"\r\n\r\n" not in answer and (part := self._socket.recv(4096)):
                answer += part
            self.status = int(answer.split()[1]) if b"\r\n\r\n" in answer else 0


def wait_done(writes: Sequence[OpenWrite], limit: float) -> None:
    """Until no replica is at any of them, whatever became of their clients."""
    wait_until("the writes to end", lambda: not any(write.is_running() for write in writes), limit)


def manifest(member: Member, repository: str, seconds: float) -> OpenWrite:
    """A push that takes the replica that long."""
    tag = _timed_tag("slow", seconds)
    return OpenWrite(member, repository, f"PUT /v2/{repository}/manifests/{tag}", _body(BODY), tag=tag)


def unfinished_manifest(member: Member, repository: str, seconds: float) -> OpenWrite:
    """The same, of which the last byte is not sent before `send_rest`."""
    tag = _timed_tag("slow", seconds)
    body = _body(BODY)
    return OpenWrite(
        member, repository, f"PUT /v2/{repository}/manifests/{tag}", body[:-1], tag=tag, rest=body[-1:]
    )


def upload(member: Member, repository: str) -> OpenWrite:
    """An upload of which all but the first byte is not sent before `send_rest`."""
    begun = once(member, "POST", f"/v2/{repository}/blobs/uploads/", b"")
    head = f"PATCH {begun.fields['location']}"
    body = _body(bytes(UPLOAD_BYTES))
    return OpenWrite(
        member, repository, head, body[: 1 - UPLOAD_BYTES], tag="", rest=body[1 - UPLOAD_BYTES :]
    )


def fetching_read(member: Member, repository: str, seconds: float) -> OpenWrite:
    """A read at which the replica fetches the manifest from elsewhere, and writes it."""
    tag = _timed_tag("sync", seconds)
    return OpenWrite(member, repository, f"GET /v2/{repository}/manifests/{tag}", b"\r\n", tag=tag)


def _timed_tag(kind: str, seconds: float) -> str:
    return f"{kind}-{seconds * 1e3:.0f}ms-{next(_numbers)}"


def _body(data: bytes) -> bytes:
    return f"Content-Length: {len(data)}\r\n\r\n".encode() + data
