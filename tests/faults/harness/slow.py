"""Hostile clients of HTTP/1, run as a program: `slow.py TASK OUT`, both JSON.

`drip` opens connections that never finish a head; `bomb` sends heads beyond every limit; `crowd` sends the heads of
uploads, of whose bodies hardly a byte follows, or as much as the other side takes (`body`, in bytes). Each writes how
its connections went.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

# Connections opened at once: a listener's backlog is no part of what is tried.
OPENING = 100
# Of bodies; all of them are the same zeros, so that thousands cost this process nothing.
PIECE = bytes(1 << 16)


async def drip(task: dict[str, Any], opened: asyncio.Semaphore) -> dict[str, Any]:
    """One byte of a head each second, or nothing at all."""
    async with opened:
        reader, writer = await asyncio.open_connection(task["host"], task["port"])
    began = time.monotonic()
    answer = b""
    try:
        writer.write(task["first"].encode())
        read = asyncio.ensure_future(reader.read(65536))
        while time.monotonic() < began + task["patience"]:
            done, _ = await asyncio.wait({read}, timeout=task["pause"])
            if done:
                if not (part := read.result()):
                    break
                answer += part
                read = asyncio.ensure_future(reader.read(65536))
                continue
            if task["drips"]:
                writer.write(b"x")
        else:
            return {"closed": False, "seconds": time.monotonic() - began, "status": _status(answer)}
    except OSError:
        pass
    finally:
        writer.close()
    return {"closed": True, "seconds": time.monotonic() - began, "status": _status(answer)}


async def bomb(task: dict[str, Any], opened: asyncio.Semaphore) -> dict[str, Any]:
    async with opened:
        reader, writer = await asyncio.open_connection(task["host"], task["port"])
        began = time.monotonic()
        answer = b""
        try:
            writer.write(b"GET /v2/ HTTP/1.1\r\nHost: bomb\r\n" + task["filling"].encode())
            await writer.drain()
            while part := await asyncio.wait_for(reader.read(65536), task["patience"]):
                answer += part
        except (OSError, TimeoutError):
            pass
        finally:
            writer.close()
        return {"closed": True, "seconds": time.monotonic() - began, "status": _status(answer)}


async def crowd(task: dict[str, Any], opened: asyncio.Semaphore) -> dict[str, Any]:
    async with opened:
        reader, writer = await asyncio.open_connection(task["host"], task["port"])
    began = time.monotonic()
    answer, sent = b"", [0]
    writer.transport.set_write_buffer_limits(len(PIECE))
    writer.write(task["head"].encode())
    filling = asyncio.create_task(_fill(writer, task.get("body", 0), sent))
    try:
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), task["patience"])
    except (OSError, asyncio.IncompleteReadError, TimeoutError):
        pass
    seconds = time.monotonic() - began
    filling.cancel()
    writer.close()
    return {
        "seconds": seconds,
        "status": _status(answer),
        "retry_after": b"retry-after:" in answer.lower(),
        "sent": sent[0],
    }


async def _fill(writer: asyncio.StreamWriter, size: int, sent: list[int]) -> None:
    """Sends a body of this many bytes, as fast as it is taken."""
    with contextlib.suppress(OSError):
        while sent[0] < size:
            writer.write(PIECE[: size - sent[0]])
            await writer.drain()
            sent[0] += min(len(PIECE), size - sent[0])


def _status(answer: bytes) -> int:
    return int(answer.split()[1]) if answer.startswith(b"HTTP/1.") else 0


async def _main(task: dict[str, Any]) -> list[dict[str, Any]]:
    attack = {"drip": drip, "bomb": bomb, "crowd": crowd}[task["kind"]]
    opened = asyncio.Semaphore(OPENING)
    print("begun", flush=True)
    done = await asyncio.gather(*(attack(task, opened) for _ in range(task["count"])), return_exceptions=True)
    return [one if isinstance(one, dict) else {"error": repr(one)} for one in done]


if __name__ == "__main__":
    # An attacker has a machine of its own: here it must not take the CPU of those whom it attacks.
    os.nice(10)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Path(sys.argv[2]).write_text(json.dumps(asyncio.run(_main(json.loads(Path(sys.argv[1]).read_text())))))
