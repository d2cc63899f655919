"""Clients that ask and do not read, over TLS, run as a program: `mute.py TASK OUT`, both JSON.

`readers` ask for a large answer over HTTP/1, each on a connection of its own, and read its head alone. `windowless` are
connections of HTTP/2 whose streams may be sent nothing (SETTINGS_INITIAL_WINDOW_SIZE is 0), `streams` on each. It has
begun when all have their heads, which they hold for so many seconds.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import Any

from flood import END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, frame

# Of an HTTP/2 setting; its number is 4.
NO_WINDOW = b"\x00\x04\x00\x00\x00\x00"
HEAD_SECONDS = 20.0
# RFC 7541: `:status: 200`.
OK = 0x88


def connect(task: dict[str, Any], context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection((task["host"], task["port"]), timeout=HEAD_SECONDS)
    return context.wrap_socket(plain, server_hostname=task["host"])


def reader(task: dict[str, Any]) -> ssl.SSLSocket:
    secure = connect(task, ssl.create_default_context(cafile=task["ca"]))
    secure.sendall(f"GET {task['large']} HTTP/1.1\r\nHost: {task['host']}\r\n\r\n".encode())
    return secure


def windowless(task: dict[str, Any]) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=task["ca"])
    context.set_alpn_protocols(["h2"])
    secure = connect(task, context)
    path = task["small"].encode()
    block = b"\x82\x87\x01\x04mute\x04" + bytes([len(path)]) + path
    asks = (frame(HEADERS, END_STREAM | END_HEADERS, stream, block) for stream in range(1, 2 * task["streams"], 2))
    secure.sendall(PREFACE + frame(SETTINGS, 0, 0, NO_WINDOW) + b"".join(asks))
    return secure


def status(secure: ssl.SSLSocket) -> bytes:
    """The status of an answer over HTTP/1."""
    try:
        return secure.recv(len("HTTP/1.1 200"))[-3:]
    except OSError:
        return b""


def heads(secure: ssl.SSLSocket, streams: int, until: float) -> int:
    """How many streams are answered with 200: once all are, or by then."""
    received, answered = b"", 0
    while answered < streams and (left := until - time.monotonic()) > 0:
        secure.settimeout(left)
        try:
            if not (part := secure.recv(65536)):
                break
        except OSError:
            break
        received += part
        while len(received) >= 9 and len(received) >= (end := 9 + int.from_bytes(received[:3])):
            answered += received[3] == HEADERS and received[9:10] == bytes([OK])
            received = received[end:]
    return answered


def main(task: dict[str, Any]) -> list[dict[str, Any]]:
    readers = [reader(task) for _ in range(task["readers"])]
    muted = [windowless(task) for _ in range(task["windowless"])]
    until = time.monotonic() + HEAD_SECONDS
    done = [{"kind": "reader", "answered": int(status(one) == b"200")} for one in readers]
    done += [{"kind": "windowless", "answered": heads(one, task["streams"], until)} for one in muted]
    # All have what they asked for, and keep it.
    print("begun", flush=True)
    time.sleep(task["seconds"])
    return done


if __name__ == "__main__":
    # An attacker has a machine of its own: here it must not take the CPU of those whom it attacks.
    os.nice(10)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Path(sys.argv[2]).write_text(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
