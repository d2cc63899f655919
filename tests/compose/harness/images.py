"""Images without a registry to pull them from: Debian, put into a folder by debootstrap and imported.

One has every program that compose.yaml runs beside shardlet. The other is what shardlet's own image is based on: the C
library, and no shell.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lib.process import run

from .engine import Engine

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".docker-cache"
REQUIREMENTS = ROOT / "tests" / "requirements.txt"
PACKAGES = ("ca-certificates", "docker-registry", "haproxy", "openssl", "python3", "redis-server")
BASE_PACKAGES = ("libc6", "libgcc-s1")
# For the store; as tests/requirements.txt pins them.
PYTHON_PACKAGES = ("moto[s3,dynamodb]", "flask", "flask-cors", "boto3")
PYTHON_FOLDER = "opt/python"
# What nobody needs in an image, and cached packages.
LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache", "var/lib/apt/lists")
DEBOOTSTRAP_SECONDS = 500.0
# A change to how the files are made makes others.
RECIPE = "1"


@dataclass(frozen=True)
class Files:
    """Root file systems, as tar files."""

    tools: Path
    base: Path


def files() -> Files:
    """Made once for each list of packages, and kept in a folder that git ignores."""
    suite, site = _debian()
    recipe = (RECIPE, suite, site, *PACKAGES, *BASE_PACKAGES, *PYTHON_PACKAGES, REQUIREMENTS.read_text())
    folder = CACHE / hashlib.sha256("\n".join(recipe).encode()).hexdigest()[:16]
    made = Files(folder / "tools.tar", folder / "base.tar")
    if not folder.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="making-", dir=CACHE) as name:
            work = Path(name)
            _make(work, suite, site)
            # All or nothing: a run that is killed leaves no half of a file system that the next would take.
            (work / "done").rename(folder)
    return made


def import_into(engine: Engine, made: Files) -> None:
    engine.docker("import", "--change", f"ENV PYTHONPATH=/{PYTHON_FOLDER}", made.tools, "tools:test")
    engine.docker("import", made.base, "base:test")
    _build(engine, "distribution:test", 'FROM tools:test\nENTRYPOINT ["docker-registry"]\n')


def _build(engine: Engine, name: str, dockerfile: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Dockerfile").write_text(dockerfile)
        engine.docker("build", "--tag", name, folder)


def _make(work: Path, suite: str, site: str) -> None:
    tree, done = work / "tree", work / "done"
    done.mkdir()
    packages = f"--include={','.join(PACKAGES)}"
    run(["debootstrap", "--variant=minbase", packages, suite, tree, site], DEBOOTSTRAP_SECONDS)
    python = (tree / "usr/bin/python3").readlink().name.removeprefix("python")
    _install_python(tree / PYTHON_FOLDER, python)
    left_out = [f"--exclude=./{folder}/*" for folder in LEFT_OUT]
    run(["tar", "-C", tree, *left_out, "-cf", done / "tools.tar", "."])
    _pack_base(tree, done / "base.tar")


def _install_python(folder: Path, version: str) -> None:
    """For the Python of the image, which need not be ours."""
    pip = ROOT / ".venv" / "bin" / "python"
    wanted = ["--only-binary=:all:", "--python-version", version, "--implementation", "cp"]
    platform = f"manylinux2014_{os.uname().machine}"
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", "--target", folder]
    run([pip, *install, *wanted, "--platform", platform, "--constraint", REQUIREMENTS, *PYTHON_PACKAGES], 300)


def _pack_base(tree: Path, target: Path) -> None:
    """The libraries of BASE_PACKAGES alone, at the places where the loader looks for them."""
    with tarfile.open(target, "w") as tar:
        for link in ("lib", "lib64"):
            if (tree / link).is_symlink():
                tar.add(tree / link, link)
        for name in sorted(set(_libraries(tree))):
            tar.add(tree / name, name, recursive=False)


def _libraries(tree: Path) -> Iterator[str]:
    """Paths without a symbolic link on the way, relative to the tree."""
    for package in BASE_PACKAGES:
        for listing in (tree / "var/lib/dpkg/info").glob(f"{package}*.list"):
            for line in listing.read_text().splitlines():
                path = tree / line.removeprefix("/")
                if ".so" in path.name and path.exists():
                    # Debian's /lib is a link to /usr/lib.
                    yield str((path.parent.resolve() / path.name).relative_to(tree.resolve()))


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
