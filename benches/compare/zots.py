"""zot's own cluster hop, and shardlet's before the same zots. Two of them make a cluster; the second owns the image.

The first has no files, so whatever comes through it has made the hop.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from contestants import HASH_KEY, Contestant, Running, Setting, Shardlet
from load import LoadError, Paths, answers
from processes import Process, free_ports

NAMED_BY = "SHARDLET_TEST_ZOT"
WORKS = frozenset({"gets", "one get", "bodies down"})
OWN_HOP = "zot, own hop"
NAMES = 32


def zot_binary() -> str | None:
    return os.environ.get(NAMED_BY) or shutil.which("zot")


class Zots:
    """The cluster, with one image in it."""

    def __init__(self, zot: str, shardlet: Path, directory: Path, blob_bytes: int, cpus: set[int]) -> None:
        directory.mkdir()
        self._shardlet = shardlet
        ports = free_ports(2)
        members = [f"127.0.0.1:{port}" for port in ports]
        self._processes = []
        for number, port in enumerate(ports):
            config = directory / f"{number}.json"
            config.write_text(
                json.dumps(
                    {
                        "distSpecVersion": "1.1.1",
                        "storage": {"rootDirectory": str(directory / str(number)), "dedupe": False, "gc": False},
                        "http": {"address": "127.0.0.1", "port": str(port)},
                        # As quiet as it can be: a line for each request would be more work for it.
                        "log": {"level": "error"},
                        "cluster": {"members": members, "hashKey": HASH_KEY},
                    }
                )
            )
            self._processes.append(Process([zot, "serve", config], directory / f"{number}.log", cpus))
        self._asked, self._owner = ports
        self.paths = self._push(_owned_by_the_second(shardlet, directory, members), os.urandom(1 << 20), blob_bytes)

    def setting(self, cpus: set[int], directory: Path) -> Setting:
        directory.mkdir()
        return Setting(self._owner, Path(), self.paths, cpus, directory)

    def contestants(self) -> list[Contestant]:
        first, second = self._processes
        replicas = {"b": second, "a": second}
        return [
            Contestant("zot, at its owner", lambda _: Running(self._owner, self.paths, [second]), WORKS),
            Contestant(OWN_HOP, lambda _: Running(self._asked, self.paths, [first, second]), WORKS),
            *(
                Contestant(
                    f"shardlet and zot, {name}",
                    lambda setting, shardlet=shardlet: shardlet.start(setting, replicas),
                    WORKS,
                )
                for name, shardlet in {
                    "local": Shardlet(self._shardlet),
                    "hop plain": Shardlet(self._shardlet, "b"),
                    "hop mTLS": Shardlet(self._shardlet, "b", mtls=True),
                }.items()
            ),
        ]

    def close(self) -> None:
        for process in self._processes:
            process.end()

    def _push(self, repository: str, part: bytes, blob_bytes: int) -> Paths:
        ready = Running(self._owner, Paths(repository, ""))
        self._processes[1].wait_until(lambda: answers(ready.door(), path="/v2/"))
        self._processes[0].wait_until(lambda: answers(replace(ready.door(), port=self._asked), path="/v2/"))
        layer, config = part * (blob_bytes // len(part)), b"{}"
        digests = [self._upload(repository, blob) for blob in (config, layer)]
        kinds = ("application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar")
        described = [
            {"mediaType": kind, "digest": digest, "size": size}
            for kind, digest, size in zip(kinds, digests, (len(config), len(layer)), strict=True)
        ]
        kind = "application/vnd.oci.image.manifest.v1+json"
        manifest = {"schemaVersion": 2, "mediaType": kind, "config": described[0], "layers": described[1:]}
        self._send("PUT", f"/v2/{repository}/manifests/v1", json.dumps(manifest).encode(), kind)
        return Paths(repository, f"/v2/{repository}/blobs/{digests[1]}")

    def _upload(self, repository: str, blob: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        place = self._send("POST", f"/v2/{repository}/blobs/uploads/")
        self._send("PUT", f"{place}?digest={digest}", blob)
        return digest

    def _send(self, method: str, path: str, body: bytes = b"", kind: str = "application/octet-stream") -> str | None:
        with closing(http.client.HTTPConnection("127.0.0.1", self._owner, timeout=60)) as connection:
            connection.request(method, path, body, {"Content-Type": kind})
            answer = connection.getresponse()
            if answer.status >= 300:
                raise LoadError(f"zot: {method} {path}: {answer.status} {answer.read()!r}")
            return answer.headers["Location"]


def _owned_by_the_second(shardlet: Path, directory: Path, members: list[str]) -> str:
    """A name that zot's placement gives to the second member."""
    listed = "\n".join(f"    - {{ id: {id}, address: {address} }}" for id, address in zip("ab", members, strict=True))
    config = directory / "placement.yaml"
    config.write_text(
        f"member: a\ncluster:\n  hash_key: {HASH_KEY}\n  placement: zot\n  insecure: true\n  members:\n{listed}\n"
    )
    names = [f"team/app{number}" for number in range(NAMES)]
    done = subprocess.run([shardlet, "owner", "-c", config, *names], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"shardlet owner: {done.stderr}")
    owners = dict(line.split("\t")[:2] for line in done.stdout.splitlines())
    return next(name for name in names if owners[name] == "b")
