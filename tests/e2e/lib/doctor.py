"""`shardlet doctor` beside one member, and replicas that can be set up wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from .cluster import Member
from .process import attempt, wait_until
from .replica import DockerRegistry, Replica, Zot
from .sidecar import binary, merged

SETTLE_SECONDS = 40.0
LIMIT = "1h"


class Settable:
    """Over what its replicas are set up with, by the name of the replica. None takes a key out."""

    over: ClassVar[dict[str, Mapping[str, Any]]] = {}

    def _config(self) -> dict:
        return _without_nothing(merged(self._good(), self.over.get(self.name, {})))  # type: ignore[attr-defined]


class SettableRegistry(Settable, DockerRegistry):
    def _good(self) -> dict:
        return DockerRegistry._config(self)


class SettableZot(Settable, Zot):
    """As docs/registries.md wants it, limits on whole requests included."""

    def _good(self) -> dict:
        return merged(Zot._config(self), {"http": {"readTimeout": LIMIT, "writeTimeout": LIMIT}})

    def _config(self) -> dict:
        config = super()._config()
        if sync := config.get("extensions", {}).get("sync"):
            # On remote storage zot wants a folder of its own to fetch to.
            sync |= {"enable": True, "downloadDir": str(self.place.directory / f"{self.name}-fetched")}
        return config


def _without_nothing(tree: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in tree.items() if value is not None}
    return {key: _without_nothing(value) if isinstance(value, Mapping) else value for key, value in kept.items()}


@contextmanager
def set_up(member: Member, over: Mapping[str, Any]) -> Iterator[None]:
    """One member's replica runs with `over`, and then as before."""
    replica = member.replica
    assert isinstance(replica, Settable)
    replica.over[replica.name] = over
    _start_again(replica)
    try:
        yield
    finally:
        del replica.over[replica.name]
        _start_again(replica)


def _start_again(replica: Replica) -> None:
    replica.process.stop()
    replica.restart()


def config_of(replica: Replica) -> Path:
    """The file that it runs with."""
    return replica.place.directory / f"{replica.name}.json"


def examine(member: Member, *more: str | Path) -> dict[str, Any]:
    """What is found beside a member, as JSON; its replica's configuration is looked at."""
    command = [binary(), "doctor", "-c", member.sidecar.config, "--format", "json"]
    done = attempt([*command, "--registry-config", config_of(member.replica), *more])
    assert done.returncode in (0, 1), done.stderr
    told = json.loads(done.stdout)
    assert done.returncode == (1 if told["findings"] else 0), told
    assert all(found[key] for found in told["findings"] for key in ("id", "place", "what", "why", "remedy")), told
    return told


def finds(member: Member, wanted: set[tuple[str, str]], *more: str | Path) -> list[dict[str, str]]:
    """Waits until exactly these are found, each by its id and its place without the line. A verdict takes members a
    moment."""
    told: list[dict[str, str]] = []

    def is_found() -> bool:
        nonlocal told
        told = examine(member, *more)["findings"]
        return {(found["id"], found["place"].rsplit(":", 1)[0]) for found in told} == wanted

    try:
        wait_until(f"{wanted} to be found", is_found, SETTLE_SECONDS)
    except AssertionError as late:
        raise AssertionError(f"{late}; at last {told}") from None
    return told
