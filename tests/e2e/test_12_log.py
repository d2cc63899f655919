"""What clients can make the libraries beneath us complain of is counted, and never fills the log."""

from __future__ import annotations

import json
import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path

import httpx
from lib.cluster import Cluster, Member
from lib.process import wait_until

COUNT_SECONDS = 60.0
SOCKET_SECONDS = 30.0
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, ACK = 4, 6, 1
MIB = 1 << 20
LOUD = {"WARN", "ERROR"}


def test_clients_cannot_fill_the_log(tls_cluster: Cluster) -> None:
    owner, *_ = tls_cluster.members
    ca = tls_cluster.ca
    assert ca
    complaints: dict[str, Callable[[], None]] = {
        "rustls": lambda: _say_an_address_is_a_name(owner, ca),
        "h2": lambda: _acknowledge_a_ping_that_nobody_sent(owner, ca),
    }
    before = len(owner.sidecar.log.read_text())
    for library, complain in complaints.items():
        counted = _counted(owner, library)

        def seen(library: str = library, complain: Callable[[], None] = complain, counted: float = counted) -> bool:
            complain()
            return _counted(owner, library) > counted

        wait_until(f"a complaint of {library} to be counted", seen, COUNT_SECONDS)
    lines = [json.loads(line) for line in owner.sidecar.log.read_text()[before:].splitlines() if line.startswith("{")]
    libraries = [line for line in lines if not line.get("target", "shardlet").startswith("shardlet")]
    assert [line for line in libraries if line["level"] in LOUD] == []


def _counted(member: Member, library: str) -> float:
    return member.sidecar.metric(f'shardlet_library_warnings_total{{library="{library}"}}')


def _trusting(ca: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca))
    context.set_alpn_protocols(["h2"])
    return context


def _connect(member: Member) -> socket.socket:
    place = member.sidecar.place
    return socket.create_connection((place.host, place.clients), timeout=SOCKET_SECONDS)


def _say_an_address_is_a_name(member: Member, ca: Path) -> None:
    """The first message of TLS, with a server name that only looks like one. What is answered does not matter."""
    name, address = b"abc.def.g", b"127.0.0.1"
    sent, received = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = _trusting(ca).wrap_bio(received, sent, server_hostname=name.decode())
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    hello = sent.read()
    assert name in hello
    with _connect(member) as plain:
        plain.sendall(hello.replace(name, address))
        assert plain.recv(1), "TLS says something"


def _acknowledge_a_ping_that_nobody_sent(member: Member, ca: Path) -> None:
    with _connect(member) as plain:
        with _trusting(ca).wrap_socket(plain, server_hostname=member.sidecar.place.host) as secure:
            secure.sendall(PREFACE + _frame(SETTINGS, 0, b"") + _frame(PING, ACK, bytes(8)) + _frame(PING, 0, bytes(8)))
            received = b""
            # Frames are looked at in their order, so the answer to the second one says that the first was.
            while _frame(PING, ACK, bytes(8)) not in received:
                part = secure.recv(65536)
                assert part, "closed"
                received += part


def _frame(kind: int, flags: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + bytes(4) + payload
