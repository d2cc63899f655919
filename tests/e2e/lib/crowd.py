"""One process that plays all other members of a fleet too large for one machine.

Each has an address, a certificate and connections of its own, answers when it is asked for its state, and asks in its
turn, as often as a member of such a fleet does. It has the view of the one real member, which it learns from its
questions. Run as a program it is that process.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .certs import Authority
from .process import Process, accepts
from .sidecar import Place

START_SECONDS = 120.0
STATE_PATH = "/-/shardlet/state"
# As src/peers/probe.rs has it.
INTERVAL_SECONDS, QUESTIONS_PER_INTERVAL = 1.0, 64
_CONNECT_AGAIN_SECONDS = 1.0


def pause_seconds(members: int) -> float:
    """From one question to a peer to the next."""
    return INTERVAL_SECONDS * max(1, -(-(members - 1) // QUESTIONS_PER_INTERVAL))


class Crowd:
    """The running process, which plays `places` to the member at `real`. `stop` ends it."""

    def __init__(self, places: Sequence[Place], real: Place, authority: Authority, directory: Path) -> None:
        pairs = [authority.issue(place.id, place.id, place.host) for place in places]
        peers = [
            asdict(Peer(place.id, place.host, str(pair.cert), str(pair.key)))
            for place, pair in zip(places, pairs, strict=True)
        ]
        told = {"peers": peers, "port": real.peers, "host": real.host, "ca": str(authority.ca)}
        file = directory / "crowd.json"
        file.write_text(json.dumps(told))
        package = Path(__file__).resolve().parents[1]
        program = f"import sys; sys.path.insert(0, {str(package)!r}); from lib import crowd; crowd.main()"
        self.process = Process("crowd", [sys.executable, "-B", "-c", program, file], directory / "crowd.log")
        self.process.wait_ready(lambda: accepts(places[-1].host, real.peers), START_SECONDS)

    def stop(self) -> None:
        self.process.stop()


@dataclass(frozen=True)
class Peer:
    id: str
    host: str
    cert: str
    key: str

    @property
    def process(self) -> str:
        return random.Random(self.id).randbytes(16).hex()

    @property
    def replica(self) -> str:
        return f"{self.host}:5001"


class Play:
    def __init__(self, told: dict[str, object]) -> None:
        self._peers = [Peer(**peer) for peer in told["peers"]]  # type: ignore[attr-defined]
        self._host, self._port, self._ca = str(told["host"]), int(str(told["port"])), str(told["ca"])
        self._pause = pause_seconds(1 + len(self._peers))
        self._view = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        for peer in self._peers:
            await asyncio.start_server(
                lambda *ends, peer=peer: self._answer(peer, *ends),
                peer.host,
                self._port,
                ssl=self._trust(peer, ssl.PROTOCOL_TLS_SERVER),
                reuse_address=True,
            )
        await asyncio.gather(*(self._ask(peer) for peer in self._peers))

    async def _answer(self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                fields = _fields(await reader.readuntil(b"\r\n\r\n"))
                if not self._view.done():
                    self._view.set_result(fields["x-shardlet-view"])
                body = json.dumps(self._state(peer), separators=(",", ":")).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                    b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nConnection: keep-alive\r\n\r\n%b" % (len(body), body)
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            writer.close()

    def _state(self, peer: Peer) -> dict[str, object]:
        return {
            "member": peer.id,
            "replica_up": True,
            "draining": False,
            "closing": False,
            "view": self._view.result(),
            "start": peer.process,
            "up_ms": 604_800_000,
            "replica": peer.replica,
            "vouches": True,
        }

    async def _ask(self, peer: Peer) -> None:
        view = await self._view
        question = "\r\n".join(
            [
                f"GET {STATE_PATH} HTTP/1.1",
                f"Host: {self._host}:{self._port}",
                "user-agent: shardlet/0.1.0",
                f"x-shardlet-member: {peer.id}",
                f"x-shardlet-view: {view}",
                f"x-shardlet-start: {peer.process}",
                f"x-shardlet-replica: {peer.replica}",
                "",
                "",
            ]
        ).encode()
        trust = self._trust(peer, ssl.PROTOCOL_TLS_CLIENT)
        await asyncio.sleep(random.uniform(0, self._pause))
        while True:
            try:
                reader, writer = await asyncio.open_connection(self._host, self._port, ssl=trust)
                while True:
                    writer.write(question)
                    fields = _fields(await reader.readuntil(b"\r\n\r\n"))
                    await reader.readexactly(int(fields["content-length"]))
                    await asyncio.sleep(self._pause * random.uniform(0.9, 1.1))
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(_CONNECT_AGAIN_SECONDS)

    def _trust(self, peer: Peer, side: int) -> ssl.SSLContext:
        context = ssl.SSLContext(side)
        context.load_verify_locations(self._ca)
        context.load_cert_chain(peer.cert, peer.key)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


def _fields(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


async def _run(told: dict[str, object]) -> None:
    await Play(told).run()


def main() -> None:
    asyncio.run(_run(json.loads(Path(sys.argv[1]).read_text())))
