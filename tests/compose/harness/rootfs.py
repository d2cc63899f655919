"""Makes the root file systems of the test's images, as tar files. Started as a program, in a mount namespace of its own.

    python rootfs.py SUITE ARCHIVE REQUIREMENTS FOLDER
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

TOOLS, BASE = "tools.tar", "base.tar"
PACKAGES = ("ca-certificates", "docker-registry", "haproxy", "openssl", "python3", "redis-server")
BASE_PACKAGES = ("libc6", "libgcc-s1")
# For the store; as tests/requirements.txt pins them.
PYTHON_PACKAGES = ("moto[s3,dynamodb]", "flask", "flask-cors", "boto3")
PYTHON_FOLDER = "opt/python"
# What nobody needs in an image, and cached packages.
LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache", "var/lib/apt/lists")
# Nobody else sees what is mounted here.
TREE = Path("/mnt")


def make(suite: str, archive: str, requirements: Path, folder: Path) -> None:
    _run("mount", "-t", "tmpfs", "-o", "size=3g,mode=755", "none", TREE)
    _run("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", suite, TREE, archive)
    _install_python(requirements)
    left_out = [f"--exclude=./{name}/*" for name in LEFT_OUT]
    _run("tar", "-C", TREE, *left_out, "-cf", folder / TOOLS, ".")
    _pack_base(folder / BASE)


def _install_python(requirements: Path) -> None:
    """For the Python of the image, which need not be ours."""
    version = (TREE / "usr/bin/python3").readlink().name.removeprefix("python")
    wanted = ["--only-binary=:all:", "--python-version", version, "--implementation", "cp"]
    platform = f"manylinux2014_{os.uname().machine}"
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    packages = ["--target", TREE / PYTHON_FOLDER, "--constraint", requirements, *PYTHON_PACKAGES]
    _run(sys.executable, *install, *wanted, "--platform", platform, *packages)


def _pack_base(target: Path) -> None:
    """The libraries of BASE_PACKAGES alone, at the places where the loader looks for them."""
    with tarfile.open(target, "w") as tar:
        for link in ("lib", "lib64"):
            if (TREE / link).is_symlink():
                tar.add(TREE / link, link)
        for name in sorted(set(_libraries())):
            tar.add(TREE / name, name, recursive=False)


def _libraries() -> Iterator[str]:
    """Paths without a symbolic link on the way, relative to the tree."""
    for package in BASE_PACKAGES:
        for listing in (TREE / "var/lib/dpkg/info").glob(f"{package}*.list"):
            for line in listing.read_text().splitlines():
                path = TREE / line.removeprefix("/")
                # gconv is about character sets of old.
                if ".so" in path.name and "gconv" not in path.parts and path.exists():
                    # Debian's /lib is a link to usr/lib.
                    yield str((path.parent.resolve() / path.name).relative_to(TREE))


def _run(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], check=True)


if __name__ == "__main__":
    make(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
