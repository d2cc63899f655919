"""As much of an HTTP server as the stand-ins of these tests need: requests with a length, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

LINE_LIMIT = 1 << 20

# Method, target, fields by their names in small letters, body.
Answer = Callable[[str, str, dict[str, str], bytes], Awaitable[bytes]]


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
    """All requests of one connection, until it ends."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ")
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            body = await reader.readexactly(int(fields.get("content-length", "0")))
            writer.write(await answer(method, target, fields, body))
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


def response(status: int, body: bytes = b"", *, head: bool = False, **fields: str) -> bytes:
    """`head`: it answers HEAD, and the body's length is told alone."""
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in fields.items())]
    # A 204 has no length.
    return "\r\n".join([lines[0], *lines[1 + (status == 204) :], "", ""]).encode() + (b"" if head else body)
