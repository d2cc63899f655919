"""An upstream that reads every body to its end, throws it away and answers 201; anything else gets 200.

nginx cannot play this part: its `return` answers before the body has come.
"""

from __future__ import annotations

import socket
import sys
import threading

CHUNK = 1 << 20
HEAD_LIMIT = 1 << 16


def main() -> None:
    with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


def serve(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = memoryview(bytearray(CHUNK))
    rest = b""
    with connection:
        while True:
            while b"\r\n\r\n" not in rest:
                read = connection.recv(HEAD_LIMIT)
                if not read or len(rest) > HEAD_LIMIT:
                    return
                rest += read
            head, rest = rest.split(b"\r\n\r\n", 1)
            left = length_of(head) - len(rest)
            while left > 0:
                read = connection.recv_into(buffer[: min(left, CHUNK)])
                if not read:
                    return
                left -= read
            rest = b""
            status = b"200 OK" if head.startswith((b"GET ", b"HEAD ")) else b"201 Created"
            connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")


def length_of(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


if __name__ == "__main__":
    main()
