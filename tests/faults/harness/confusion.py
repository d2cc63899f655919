"""Messages and paths that two readers may understand differently, as bytes; and what a real registry made of them."""

from __future__ import annotations

import json
import random
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lib.cluster import Cluster, Member

CORPUS = Path(__file__).resolve().parents[2] / "corpus"
TIMEOUT_SECONDS = 20.0
# What is sent behind a message, to be seen by nobody.
SMUGGLED = "smuggled"
BEHIND = f"GET /v2/{SMUGGLED}/manifests/latest HTTP/1.1\r\nHost: r\r\n\r\n".encode()
_ESCAPE = re.compile(r"\\(r|n|t|0|\\|x[0-9a-fA-F]{2})")
_BYTES = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}


@dataclass(frozen=True)
class Case:
    name: str
    expected: str
    message: str

    @property
    def is_whole(self) -> bool:
        """Nothing stands behind those that are served or still wait for their body."""
        return self.expected.startswith("200") or self.expected == "starved"

    def bytes(self, target: str) -> bytes:
        text = self.message.replace("{target}", target).replace("{peer}", "")
        return _ESCAPE.sub(_unescaped, text).encode("latin-1") + (b"" if self.is_whole else BEHIND)


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if code.startswith("x") else _BYTES[code]


def smuggling() -> list[Case]:
    """The cases of HTTP/1, as tests/corpus/README.md tells."""
    found = []
    for file in sorted((CORPUS / "smuggling").glob("*.http")):
        for block in re.split(r"\n\s*\n", file.read_text()):
            lines = [line for line in block.splitlines() if line]
            if len(lines) < 3:
                continue
            title, expected, *message = lines
            found.append(Case(f"{file.stem}: {title.removeprefix('# ')}", expected.removeprefix("> "), "".join(message)))
    return found


def send(member: Member, message: bytes, patience: float = TIMEOUT_SECONDS) -> bytes:
    """What comes back until the connection is closed, or nothing more comes."""
    place = member.sidecar.place
    answer = b""
    with socket.create_connection((place.host, place.clients), timeout=patience) as connection:
        try:
            connection.sendall(message)
            while part := connection.recv(65536):
                answer += part
        except OSError:
            pass
    return answer


# Design: percent signs, double slashes, dot segments, uppercase, semicolons, control bytes, absolute forms; and names
# in which the keywords of the routes stand.
_TURNS = (
    "%2F", "%2f", "%2e%2e%2f", "%61", "%25", "%00", "//", "/./", "/../", "/..", "/.", "..", "A", ";", ";x=y", "\\", "%5c",
    "\t", "\x7f", "?", "#", "%3F", "%23", "%0d%0a", "_", "__", "-", "@", ":", ":5000/", "~", "|", "é", "%C3%A9",
    "/manifests/", "/blobs/", "/tags/list/", "/uploads/", "/referrers/", "/v2/", "/_catalog/", "%2Fmanifests%2F",
)  # fmt: skip
_NAMES = ("a/manifests", "manifests/b", "blobs/uploads", "tags/list", "tags", "v2", "referrers/x/manifests", "library/alpine")
_ENDS = (
    "/manifests/{case}", "/blobs/sha256:{digest}", "/tags/list", "/referrers/sha256:{digest}", "/blobs/uploads/{case}",
    "/manifests/sha256:{digest}", "/manifests/{case}/", "/manifests//{case}", "/blobs/uploads/{case}/../../../manifests/{case}",
)  # fmt: skip


def paths(count: int) -> Iterator[str]:
    """Every turn in every place of a right path first, then chosen ones with several turns."""
    made = 0
    for turn in _TURNS:
        for place in ("/v2/team{turn}app/manifests/{case}", "/v2/{turn}team/manifests/{case}", "/v2/team/manifests{turn}{case}",
                      "/v2{turn}/team/manifests/{case}", "{turn}/v2/team/manifests/{case}"):  # fmt: skip
            if made < count:
                yield place.replace("{turn}", turn).replace("{case}", f"case-{made}")
                made += 1
    chosen = random.Random(count)
    while made < count:
        path = f"/v2/{chosen.choice(_NAMES)}{chosen.choice(_ENDS)}"
        for _ in range(chosen.randrange(3)):
            at = chosen.randrange(1, len(path))
            path = path[:at] + chosen.choice(_TURNS) + path[at:]
        yield path.replace("{case}", f"case-{made}").replace("{digest}", f"{made:064x}")
        made += 1


@dataclass(frozen=True)
class Outcome:
    """One request: what we took its repository for, and what the registry that saw it did."""

    request_id: str
    hashed: str | None
    served: str | None


def request(path: str, number: int) -> bytes:
    head = f"GET {path} HTTP/1.1\r\nHost: r\r\nUser-Agent: case/{number}\r\nX-Request-Id: case-{number}\r\nConnection: close\r\n\r\n"
    return head.encode()


_AGENT = re.compile(r'http\.request\.useragent="?case/(\d+)')
_NAME = re.compile(r'vars\.name="?([^" ]+)')


def outcomes(cluster: Cluster) -> dict[int, Outcome]:
    """By the numbers of the requests: from the access logs of the sidecars, and docker-registry's own log."""
    hashed: dict[int, str | None] = {}
    for member in cluster.members:
        for line in member.sidecar.log.read_text(errors="replace").splitlines():
            if '"request_id":"case-' in line:
                entry = json.loads(line)
                number = int(entry["request_id"].removeprefix("case-"))
                # Through a hop there are two lines; both must agree, so the last one may win.
                assert hashed.get(number, entry["repository"]) == entry["repository"], line
                hashed[number] = entry["repository"]
    served: dict[int, str | None] = {}
    for member in cluster.members:
        for line in member.replica.log.read_text(errors="replace").splitlines():
            if found := _AGENT.search(line):
                name = _NAME.search(line)
                number = int(found[1])
                served[number] = name[1] if name else served.get(number)
    return {number: Outcome(f"case-{number}", name, served.get(number)) for number, name in hashed.items()}
