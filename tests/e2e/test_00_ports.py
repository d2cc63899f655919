"""A port that the tests have chosen is theirs before its process listens, and while that is down."""

from __future__ import annotations

import socket

import pytest
from lib.process import Ports

HOSTS = ("127.0.0.11", "127.0.0.12")


@pytest.mark.parametrize("reuse", [False, True], ids=["as connections do", "as another run does"])
def test_a_taken_port_is_nobody_elses(ports: Ports, reuse: bool) -> None:
    port = ports.take(*HOSTS)
    if reuse:
        other = Ports(range(port, port + 1))
        with pytest.raises(AssertionError, match="no free port"):
            other.take(HOSTS[1])
    else:
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind((HOSTS[1], port))
    ports.free(port)


def test_a_child_listens_at_a_taken_port(ports: Ports) -> None:
    port = ports.take(*HOSTS)
    for _ in range(2):
        with socket.create_server((HOSTS[0], port)) as listener:
            assert listener.getsockname()[1] == port
    ports.free(port)
    with socket.socket() as stranger:
        stranger.bind((HOSTS[0], port))
