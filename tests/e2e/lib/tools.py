"""Clients as they are shipped: crane, oras, regctl, skopeo and buildah, each with no options but those for the entry.

Every method gives a command line, for `run` to carry out or `attempt` to try.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from . import process
from .image import TAG, Layout

Command = list[str | Path]

# Where tests/run.sh installs what comes as Go modules.
GO_TOOLS = Path(__file__).resolve().parents[3] / ".go-tools"
TIMEOUT_SECONDS = 120.0
_ANY_SIGNATURE = {"default": [{"type": "insecureAcceptAnything"}]}


@dataclass(frozen=True)
class Entry:
    """Where clients go in: a member, or what stands before all of them."""

    host: str
    # To be trusted; None where clients speak plain HTTP.
    ca: Path | None = None


def go_tool(name: str) -> str:
    found = shutil.which(name, path=f"{GO_TOOLS}{os.pathsep}{os.environ.get('PATH', '')}")
    assert found, f"no {name} in {GO_TOOLS} or on PATH: bash tests/run.sh --packages installs it"
    return found


class Tool(ABC):
    """One client with a home of its own, which speaks to one entry."""

    name: ClassVar[str]
    # Layers arrive in another gzip than they had; what is in them is the same.
    recompresses: ClassVar[bool] = False

    def __init__(self, entry: Entry, home: Path) -> None:
        self.entry = entry
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        # SSL_CERT_FILE is Go's own way to trust an authority, the same for all of them.
        trusted = {"SSL_CERT_FILE": str(entry.ca)} if entry.ca else {}
        self.environment = trusted | {"HOME": str(home), "XDG_RUNTIME_DIR": str(home)}

    def run(self, command: Command) -> str:
        return process.run(command, TIMEOUT_SECONDS, self.environment)

    def attempt(self, command: Command, timeout: float = TIMEOUT_SECONDS) -> subprocess.CompletedProcess[str]:
        return process.attempt(command, timeout, self.environment)

    def at(self, name: str) -> str:
        """A repository, or `repository:tag`, as a reference."""
        return f"{self.entry.host}/{name}"

    def prepare(self, layout: Layout) -> None:  # noqa: B027 (most need nothing)
        """Once, before the layout is pushed."""

    @abstractmethod
    def push(self, layout: Layout, to: str) -> Command: ...

    @abstractmethod
    def pull(self, name: str, out: Path) -> Command:
        """Into a folder that does not exist yet."""

    def assert_pulled(self, out: Path, layout: Layout) -> None:
        """What `pull` has put there, byte for byte."""
        Layout(out).assert_same(layout)

    @property
    def is_plain(self) -> bool:
        return self.entry.ca is None


class ListingTool(Tool):
    """One that also copies within a registry, and lists tags."""

    @abstractmethod
    def copy(self, name: str, to: str) -> Command:
        """From one repository to another of the same registry."""

    @abstractmethod
    def tags(self, repository: str) -> Command: ...

    def listed(self, said: str) -> list[str]:
        """What a command that lists has printed."""
        return said.split()


class BrowsingTool(ListingTool):
    """One that also lists repositories."""

    @abstractmethod
    def repositories(self) -> Command: ...


class Crane(BrowsingTool):
    name = "crane"

    def push(self, layout: Layout, to: str) -> Command:
        return self._crane("push", layout.path, self.at(to))

    def pull(self, name: str, out: Path) -> Command:
        return self._crane("pull", "--format=oci", self.at(name), out)

    def copy(self, name: str, to: str) -> Command:
        return self._crane("copy", self.at(name), self.at(to))

    def tags(self, repository: str) -> Command:
        return self._crane("ls", self.at(repository))

    def repositories(self) -> Command:
        return self._crane("catalog", self.entry.host)

    def validate(self, name: str) -> Command:
        """Downloads every layer, and looks whether digests, sizes and what is in them agree."""
        return self._crane("validate", "--remote", self.at(name))

    def export(self, name: str, out: Path) -> Command:
        """The files of the image through tar, which reads as it likes; their names go into `out`."""
        exported = " ".join(str(word) for word in self._crane("export", self.at(name), "-"))
        return ["bash", "-c", f"set -o pipefail; {exported} | tar --list > {out}"]

    def _crane(self, command: str, *words: str | Path) -> Command:
        return [go_tool("crane"), command, *(["--insecure"] if self.is_plain else []), *words]


class Oras(BrowsingTool):
    name = "oras"

    def push(self, layout: Layout, to: str) -> Command:
        source = ["--from-oci-layout", f"{layout.path}:{TAG}"]
        return [go_tool("oras"), "cp", *source, *self._plain("--to-plain-http"), self.at(to)]

    def pull(self, name: str, out: Path) -> Command:
        target = ["--to-oci-layout", f"{out}:{TAG}"]
        return [go_tool("oras"), "cp", *self._plain("--from-plain-http"), self.at(name), *target]

    def copy(self, name: str, to: str) -> Command:
        plain = self._plain("--from-plain-http", "--to-plain-http")
        return [go_tool("oras"), "cp", *plain, self.at(name), self.at(to)]

    def tags(self, repository: str) -> Command:
        return [go_tool("oras"), "repo", "tags", *self._plain("--plain-http"), self.at(repository)]

    def repositories(self) -> Command:
        return [go_tool("oras"), "repo", "ls", *self._plain("--plain-http"), self.entry.host]

    def _plain(self, *options: str) -> Sequence[str]:
        return options if self.is_plain else ()


class Regctl(BrowsingTool):
    name = "regctl"

    def push(self, layout: Layout, to: str) -> Command:
        return self._regctl("image", "copy", f"ocidir://{layout.path}:{TAG}", self.at(to))

    def pull(self, name: str, out: Path) -> Command:
        return self._regctl("image", "copy", self.at(name), f"ocidir://{out}:{TAG}")

    def copy(self, name: str, to: str) -> Command:
        return self._regctl("image", "copy", self.at(name), self.at(to))

    def tags(self, repository: str) -> Command:
        return self._regctl("tag", "ls", self.at(repository))

    def repositories(self) -> Command:
        return self._regctl("repo", "ls", self.entry.host)

    def _regctl(self, *words: str) -> Command:
        plain = ["--host", f"reg={self.entry.host},tls=disabled"] if self.is_plain else []
        return [go_tool("regctl"), *plain, *words]


class Skopeo(ListingTool):
    name = "skopeo"

    def push(self, layout: Layout, to: str) -> Command:
        return self._copy(f"oci:{layout.path}:{TAG}", f"docker://{self.at(to)}", "dest")

    def pull(self, name: str, out: Path) -> Command:
        return self._copy(f"docker://{self.at(name)}", f"oci:{out}:{TAG}", "src")

    def copy(self, name: str, to: str) -> Command:
        return self._copy(f"docker://{self.at(name)}", f"docker://{self.at(to)}", "src", "dest")

    def tags(self, repository: str) -> Command:
        plain = ["--tls-verify=false"] if self.is_plain else []
        return ["skopeo", "--insecure-policy", "list-tags", *plain, f"docker://{self.at(repository)}"]

    def listed(self, said: str) -> list[str]:
        return json.loads(said)["Tags"]

    def _copy(self, source: str, target: str, *registries: str) -> Command:
        plain = [f"--{registry}-tls-verify=false" for registry in registries if self.is_plain]
        return ["skopeo", "--insecure-policy", "copy", "--preserve-digests", *plain, source, target]


class Buildah(Tool):
    """podman's pushes and pulls without podman: the same library, and an image store, but nothing that runs images."""

    name = "buildah"
    recompresses = True

    def prepare(self, layout: Layout) -> None:
        self.run([*self._store(self.home / "pushed"), "pull", *self._policy(), f"oci:{layout.path}:{TAG}"])

    def push(self, layout: Layout, to: str) -> Command:
        image = layout.config_digest.removeprefix("sha256:")
        words = ["push", *self._policy(), *self._plain(), image, f"docker://{self.at(to)}"]
        return [*self._store(self.home / "pushed"), *words]

    def pull(self, name: str, out: Path) -> Command:
        # A store of its own for each: it would not download again what it has.
        return [*self._store(out), "pull", *self._policy(), *self._plain(), f"docker://{self.at(name)}"]

    def assert_pulled(self, out: Path, layout: Layout) -> None:
        """The store has verified each layer before it kept it, and the configuration names what is in them."""
        images = json.loads(self.run([*self._store(out), "images", "--json", "--no-trunc"]))
        assert [image["id"] for image in images] == [layout.config_digest], images

    def _plain(self) -> Sequence[str]:
        return ["--tls-verify=false"] if self.is_plain else []

    def _policy(self) -> Sequence[str]:
        file = self.home / "policy.json"
        file.write_text(json.dumps(_ANY_SIGNATURE))
        return ["--signature-policy", str(file)]

    def _store(self, folder: Path) -> Command:
        return ["buildah", "--root", folder / "root", "--runroot", folder / "run", "--storage-driver", "vfs"]


BROWSING: list[type[BrowsingTool]] = [Crane, Oras, Regctl]
LISTING: list[type[ListingTool]] = [*BROWSING, Skopeo]
TOOLS: list[type[Tool]] = [*LISTING, Buildah]
