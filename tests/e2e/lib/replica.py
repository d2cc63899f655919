"""The registry processes that the sidecars stand beside: CNCF distribution (Debian's docker-registry) and zot.

What a replica was really asked is read from its own log, never from ours.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from .process import Process, accepts
from .store import ACCESS_KEY, REGION, SECRET_KEY, Bucket, Directory, Store

START_SECONDS = 60.0
_REPOSITORY = re.compile(r"^/v2/(?P<name>.+)/(?:manifests|blobs|tags|referrers)/")


@dataclass(frozen=True)
class Place:
    """Where a replica listens and keeps its files. Replicas of one cluster differ in nothing else."""

    host: str
    port: int
    directory: Path
    # What the process is started through, such as `ip netns exec`.
    prefix: tuple[str, ...] = ()


@dataclass(frozen=True)
class Served:
    """One request, as a replica's log has it."""

    method: str
    path: str

    @property
    def repository(self) -> str | None:
        """None for `/v2/`, the catalogue and the like."""
        match = _REPOSITORY.match(self.path)
        return match["name"] if match else None


class Replica(ABC):
    """One registry process, which can be stopped and started again at the same place."""

    kind: ClassVar[str]
    has_referrers: ClassVar[bool]

    def __init__(self, name: str, place: Place, store: Store, *, relative_urls: bool) -> None:
        self.name = name
        self.place = place
        self._store = store
        self._relative_urls = relative_urls
        self.log = place.directory / f"{name}.log"
        place.directory.mkdir(parents=True, exist_ok=True)
        self.process = self._spawn()

    @property
    def address(self) -> str:
        return f"{self.place.host}:{self.place.port}"

    def wait_ready(self) -> None:
        self.process.wait_ready(lambda: accepts(self.place.host, self.place.port), START_SECONDS)

    def restart(self) -> None:
        self.start_again()
        self.wait_ready()

    def start_again(self) -> None:
        """After its process has ended; does not wait until it is ready."""
        self.process = self._spawn()

    def note_death(self) -> None:  # noqa: B027 (most keep no log of their own)
        """Once its process is gone, and what it was at with it."""

    def served(self) -> Iterator[Served]:
        """Every request of its log, oldest first."""
        for line in self.log.read_text(errors="replace").splitlines():
            if found := self._parse(line):
                yield found

    def repositories(self) -> set[str]:
        return {request.repository for request in self.served() if request.repository}

    def _spawn(self) -> Process:
        config = self.place.directory / f"{self.name}.json"
        # JSON is YAML: one writer for both registries.
        config.write_text(json.dumps(self._config(), indent=1))
        credentials = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": REGION}
        return Process(self.name, [*self.place.prefix, self.binary(), "serve", config], self.log, credentials)

    @classmethod
    @abstractmethod
    def binary(cls) -> str | None:
        """None where this registry is not installed."""

    @abstractmethod
    def _config(self) -> dict: ...

    @abstractmethod
    def _parse(self, line: str) -> Served | None: ...


class DockerRegistry(Replica):
    """docker-registry 2.8, with the in-memory descriptor cache off: it goes stale where replicas share a store."""

    kind = "docker-registry"
    has_referrers = False
    # Combined log format, as Apache writes it.
    _LINE = re.compile(r'"(?P<method>[A-Z]+) (?P<path>/[^ ?"]*)[^ "]* HTTP/')

    @classmethod
    def binary(cls) -> str | None:
        return shutil.which("docker-registry")

    def _config(self) -> dict:
        return {
            "version": 0.1,
            "log": {"level": "info"},
            "storage": self._storage()
            | {
                "delete": {"enabled": True},
                "redirect": {"disable": True},
                "maintenance": {"uploadpurging": {"enabled": False}},
            },
            "http": {
                "addr": self.address,
                # Without a shared one, an upload cannot be continued at another replica.
                "secret": "one secret for all replicas",
                "relativeurls": self._relative_urls,
            },
        }

    def _storage(self) -> dict:
        match self._store:
            case Directory(path):
                return {"filesystem": {"rootdirectory": str(path)}}
            case Bucket(endpoint, name):
                return {
                    "s3": {
                        "accesskey": ACCESS_KEY,
                        "secretkey": SECRET_KEY,
                        "region": REGION,
                        "regionendpoint": endpoint,
                        "bucket": name,
                        "rootdirectory": "/registry",
                        "secure": False,
                        "v4auth": True,
                        "encrypt": False,
                    }
                }

    def _parse(self, line: str) -> Served | None:
        match = self._LINE.search(line)
        return Served(match["method"], match["path"]) if match else None


class Zot(Replica):
    """zot over S3 and DynamoDB. Garbage collection and deduplication write across repositories, so both are off."""

    kind = "zot"
    has_referrers = True
    NAMED_BY = "SHARDLET_TEST_ZOT"

    @classmethod
    def binary(cls) -> str | None:
        return os.environ.get(cls.NAMED_BY) or shutil.which("zot")

    def _config(self) -> dict:
        return {
            "distSpecVersion": "1.1.1",
            "storage": {
                "rootDirectory": str(self.place.directory / self.name),
                "dedupe": False,
                "gc": False,
                # A rule makes zot keep its metadata in DynamoDB; without garbage collection it deletes nothing.
                "retention": {
                    "policies": [{"repositories": ["**"], "keepTags": [{"patterns": [".*"], "pushedWithin": "24h"}]}]
                },
            }
            | self._storage(),
            "http": {"address": self.place.host, "port": str(self.place.port)},
            "log": {"level": "info"},
        }

    def _storage(self) -> dict:
        match self._store:
            case Directory(path):
                return {"rootDirectory": str(path)}
            case Bucket(endpoint, name):
                tables = ("cache", "repoMeta", "imageMeta", "repoBlobsInfo", "userData", "version", "apiKey")
                return {
                    "remoteCache": True,
                    "storageDriver": {
                        "name": "s3",
                        "rootdirectory": "/zot",
                        "region": REGION,
                        "regionendpoint": endpoint,
                        "bucket": name,
                        "forcepathstyle": True,
                        "secure": False,
                        "skipverify": False,
                    },
                    "cacheDriver": {"name": "dynamodb", "endpoint": endpoint, "region": REGION}
                    | {f"{table}Tablename": f"{name}-{table}" for table in tables},
                }

    def _parse(self, line: str) -> Served | None:
        if '"HTTP API"' not in line:
            return None
        entry = json.loads(line)
        return Served(entry["method"], entry["path"].partition("?")[0])


class ZotWithLogin(Zot):
    """zot that wants to know who is there. Each replica makes up its own keys for the sessions of browsers."""

    USER, PASSWORD = "tester", "a password of the tests"
    # Of that password, by bcrypt at its lowest cost.
    _HASH = "$2b$04$.jycS4LYl4rwwhCHv7GGVuC8xj/LH/DKbhaoe6IltCE5dLshF8S4."

    def _config(self) -> dict:
        users = self.place.directory / "htpasswd"
        users.write_text(f"{self.USER}:{self._HASH}\n")
        config = super()._config()
        config["http"]["auth"] = {"htpasswd": {"path": str(users)}}
        return config


class ZotWithSharedSessions(ZotWithLogin):
    """The same with one `sessionKeysFile` for all replicas."""

    def _config(self) -> dict:
        keys = self.place.directory / "session-keys.json"
        keys.write_text(json.dumps({"hashKey": "h" * 64, "encryptKey": "e" * 32}))
        config = super()._config()
        config["http"]["auth"]["sessionKeysFile"] = str(keys)
        return config
