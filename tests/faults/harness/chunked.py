"""A replica whose tag lists are chunked answers without end; run as a program it is that replica."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from lib.process import Process
from lib.replica import Replica, Served

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Chunked(Replica):
    kind = "chunked"
    has_referrers = False

    @classmethod
    def binary(cls) -> str | None:
        return sys.executable

    def _spawn(self) -> Process:
        argv = [*self.place.prefix, sys.executable, Path(__file__), self.place.host, str(self.place.port)]
        return Process(self.name, argv, self.log, {"PYTHONPATH": ":".join(sys.path)})

    def _config(self) -> dict:
        return {}

    def _parse(self, line: str) -> Served | None:  # noqa: ARG002
        return None


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while line := (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0]:
            if b"/tags/list " not in line:
                writer.write(SHORT)
                continue
            writer.write(HEAD)
            while True:
                writer.write(CHUNK)
                await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def _main(host: str, port: int) -> None:
    server = await asyncio.start_server(_serve, host, port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
