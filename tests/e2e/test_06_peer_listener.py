"""The peer listener answers members of the cluster, and nobody else."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
from lib.certs import Authority, Pair
from lib.cluster import Cluster, Member

TIMEOUT_SECONDS = 10.0
NOTHING = b""


def test_a_member_is_answered(fast_cluster: Cluster) -> None:
    """Without this, the refusals below would prove nothing."""
    owner, sender, _ = fast_cluster.members
    repository = fast_cluster.repository_of(owner, "peer")
    answer = _ask(owner, repository, fast_cluster.authority.issue("again", sender.id), fast_cluster.authority)
    assert answer.startswith(b"HTTP/1.1 404 "), answer
    assert b"NAME_UNKNOWN" in answer
    assert fast_cluster.touched(repository) == [owner]


def test_a_member_that_asks_the_wrong_owner_is_told_so(fast_cluster: Cluster) -> None:
    owner, sender, other = fast_cluster.members
    repository = fast_cluster.repository_of(owner, "misdirected")
    answer = _ask(other, repository, fast_cluster.authority.issue("again", sender.id), fast_cluster.authority)
    assert answer.startswith(b"HTTP/1.1 421 "), answer
    assert fast_cluster.touched(repository) == []


def test_no_certificate(fast_cluster: Cluster) -> None:
    _assert_refused(fast_cluster, None)


def test_certificate_of_another_authority(fast_cluster: Cluster, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger", "shardlet tests")
    _assert_refused(fast_cluster, stranger.issue("member-2", "member-2", "127.0.0.12"))


@pytest.mark.parametrize("names", [["stranger"], ["member-22"], ["member-2.evil.test"], ["*"], ["10.9.9.9"]])
def test_certificate_of_our_authority_that_names_no_member(fast_cluster: Cluster, names: list[str]) -> None:
    _assert_refused(fast_cluster, fast_cluster.authority.issue("no-member", *names))


def test_plain_http(fast_cluster: Cluster) -> None:
    owner = fast_cluster.members[0]
    repository = fast_cluster.repository_of(owner, "plain")
    with _connect(owner) as plain:
        assert b"HTTP/" not in _exchange(plain, owner, repository)
    assert fast_cluster.touched(repository) == []


def _assert_refused(cluster: Cluster, pair: Pair | None) -> None:
    owner = cluster.members[0]
    repository = cluster.repository_of(owner, "refused")
    assert _ask(owner, repository, pair, cluster.authority) == NOTHING
    assert cluster.touched(repository) == []


def _ask(member: Member, repository: str, pair: Pair | None, authority: Authority) -> bytes:
    """What the peer listener says to a request made with this certificate: nothing, where it cuts us off."""
    context = ssl.create_default_context(cafile=str(authority.ca))
    if pair:
        context.load_cert_chain(pair.cert, pair.key)
    try:
        with _connect(member) as plain, context.wrap_socket(plain, server_hostname=member.id) as secure:
            return _exchange(secure, member, repository)
    except (ssl.SSLError, ConnectionError):
        # By TLS 1.3 the refusal comes with the first read after the handshake.
        return NOTHING


def _connect(member: Member) -> socket.socket:
    place = member.sidecar.place
    return socket.create_connection((place.host, place.peers), timeout=TIMEOUT_SECONDS)


def _exchange(connection: socket.socket, member: Member, repository: str) -> bytes:
    """Asks as a member that forwards would: with the fingerprint of the view that both have."""
    request = (
        f"GET /v2/{repository}/tags/list HTTP/1.1\r\nHost: peer.test\r\nConnection: close\r\n"
        f"X-Shardlet-View: {member.sidecar.fingerprint()}\r\nX-Shardlet-Member: member-2\r\n\r\n"
    )
    connection.sendall(request.encode())
    answer = b""
    while part := connection.recv(65536):
        answer += part
    return answer
