"""One request, timed: what a client sees and when, a cut told from an end."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from lib.client import OCI_MANIFEST
from lib.cluster import Member

# Longer than every timeout of a fault cluster.
TIMEOUT_SECONDS = 45.0


@dataclass(frozen=True)
class Seen:
    # 0 where no answer came.
    status: int
    seconds: float
    # Why the answer, or its body, did not come whole.
    cut: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def retry_after(self) -> int:
        return int(self.fields.get("retry-after", "0"))

    @property
    def reason(self) -> str:
        """Of an answer of shardlet's own."""
        try:
            return json.loads(self.body)["errors"][0]["detail"]["reason"]
        except (ValueError, LookupError, TypeError):
            return ""

    def __str__(self) -> str:
        words = [self.status or "no answer", self.reason, self.cut, f"after {self.seconds:.3f} s"]
        return " ".join(str(word) for word in [*words, self.fields.get("x-request-id")] if word)


class Asker:
    """A client that keeps its connection; `ask` never raises for what the other side does."""

    def __init__(self, member: Member, *, past_sidecar: bool = False) -> None:
        sidecar, replica = member.sidecar.place, member.replica.place
        host, port = (replica.host, replica.port) if past_sidecar else (sidecar.host, sidecar.clients)
        self._connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)

    def ask(self, method: str, path: str, body: bytes | None = None) -> Seen:
        headers = {"Content-Type": OCI_MANIFEST} if body is not None else {"Accept": OCI_MANIFEST}
        began = time.monotonic()
        status, fields = 0, {}
        try:
            if self._connection.sock is None:
                self._connection.connect()
                self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            status = answer.status
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return Seen(status, time.monotonic() - began, fields=fields, body=answer.read())
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return Seen(status, time.monotonic() - began, cut=f"{type(error).__name__}: {error}", fields=fields)

    def read(self, repository: str, tag: str = "steady") -> Seen:
        return self.ask("GET", f"/v2/{repository}/manifests/{tag}")

    def write(self, repository: str, manifest: bytes, tag: str = "written") -> Seen:
        return self.ask("PUT", f"/v2/{repository}/manifests/{tag}", manifest)

    def begin_upload(self, repository: str) -> Seen:
        """A write without a body."""
        return self.ask("POST", f"/v2/{repository}/blobs/uploads/", b"")

    def close(self) -> None:
        self._connection.close()


def once(member: Member, method: str, path: str, body: bytes | None = None) -> Seen:
    """On a connection of its own."""
    asker = Asker(member)
    try:
        return asker.ask(method, path, body)
    finally:
        asker.close()
