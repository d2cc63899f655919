"""Images without a registry to pull them from: Debian, put into a folder by debootstrap and imported.

One has every program that compose.yaml runs beside shardlet. The other is what shardlet's own image is based on: the C
library, and no shell.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lib.process import run

from . import rootfs
from .engine import Engine

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".docker-cache"
REQUIREMENTS = ROOT / "tests" / "requirements.txt"
MAKE_SECONDS = 500.0


@dataclass(frozen=True)
class Files:
    """Root file systems, as tar files."""

    tools: Path
    base: Path


def files() -> Files:
    """Made once for each recipe, and kept in a folder that git ignores."""
    suite, site = _debian()
    recipe = f"{suite} {site}\n{Path(rootfs.__file__).read_text()}{REQUIREMENTS.read_text()}"
    folder = CACHE / hashlib.sha256(recipe.encode()).hexdigest()[:16]
    if not folder.exists():
        CACHE.mkdir(exist_ok=True)
        # All or nothing: a run that is killed leaves no half of a file system that the next would take.
        with tempfile.TemporaryDirectory(prefix="making-", dir=CACHE) as name:
            done = Path(name) / "done"
            done.mkdir()
            # In a mount namespace of its own, where it works in memory.
            make = ["unshare", "--mount", sys.executable, rootfs.__file__, suite, site, REQUIREMENTS, done]
            run(make, MAKE_SECONDS)
            done.rename(folder)
    return Files(folder / rootfs.TOOLS, folder / rootfs.BASE)


def import_into(engine: Engine, made: Files) -> None:
    engine.docker("import", "--change", f"ENV PYTHONPATH=/{rootfs.PYTHON_FOLDER}", made.tools, "tools:test")
    engine.docker("import", made.base, "base:test")
    build(engine, "distribution:test", 'FROM tools:test\nENTRYPOINT ["docker-registry"]\n')


def import_zot(engine: Engine, binary: Path) -> None:
    """As zot's own image has it: the program is the entry point, and its words are the command."""
    build(engine, "zot:test", 'FROM base:test\nCOPY zot /usr/bin/zot\nENTRYPOINT ["/usr/bin/zot"]\n', zot=binary)


def build(engine: Engine, name: str, dockerfile: str, **files: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Dockerfile").write_text(dockerfile)
        for called, path in files.items():
            shutil.copy(path, Path(folder) / called)
        engine.docker("build", "--tag", name, folder)


def _debian() -> tuple[str, str]:
    """This machine's release and the archive that it gets packages from: its programs run in images of the same release."""
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    suite = release["VERSION_CODENAME"].strip('"')
    listed = run(["apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(SITE)", "Created-By: Packages"])
    for line in listed.splitlines():
        found, component, site = line.split()
        if (found, component) == (suite, "main"):
            return suite, site
    raise AssertionError(f"apt knows no archive of {suite}:\n{listed}")


def stripped(binary: Path) -> Path:
    """The binary without symbols, at a place that the image's build may read."""
    target = CACHE / "shardlet"
    CACHE.mkdir(exist_ok=True)
    shutil.copy(binary, target)
    subprocess.run(["strip", target], check=True)
    return target
