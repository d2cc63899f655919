"""docs/install.md: its commands are carried out, on a machine that is thrown away."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from lib import machine
from lib.deployed import DEPLOY, REPOSITORY, built, one, overlay
from lib.document import commands
from lib.process import attempt, run
from lib.sidecar import binary
from lib.tools import go_tool

INSTALLED = {
    "usr/bin/shardlet",
    "usr/lib/systemd/system/shardlet.service",
    "etc/shardlet/proxy.yaml",
    "usr/share/bash-completion/completions/shardlet",
    "usr/share/zsh/vendor-completions/_shardlet",
    "usr/share/fish/vendor_completions.d/shardlet.fish",
    "usr/share/man/man1/shardlet.1.gz",
    "usr/share/man/man1/shardlet-run.1.gz",
    "usr/share/doc/shardlet/proxy.yaml",
    "usr/share/doc/shardlet/copyright",
}


@pytest.fixture(scope="module")
def package() -> Path:
    """Of the program under test."""
    tools = REPOSITORY / ".cargo-tools" / "bin"
    path = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    printed = run(["bash", DEPLOY / "debian" / "build.sh", Path(binary()).resolve(), "--fast"], 300, path)
    return REPOSITORY / printed.strip()


def test_the_package_has_everything(package: Path) -> None:
    listed = run(["dpkg-deb", "--contents", package])
    files = {line.rpartition(" ./")[2] for line in listed.splitlines() if not line.endswith("/")}
    assert files >= INSTALLED
    assert run(["dpkg-deb", "--field", package, "Depends"]).startswith("adduser, ")
    assert package.name in commands("install.md", "Debian package and systemd")


def test_the_package_is_installed_started_and_removed(package: Path, tmp_path: Path) -> None:
    if why := machine.why_none():
        assert "CI" not in os.environ, f"THE PACKAGE COULD NOT BE INSTALLED: {why}"
        pytest.skip(f"THE PACKAGE WAS NOT INSTALLED: {why}")
    given = tmp_path / "given"
    given.mkdir()
    shutil.copytree(DEPLOY, given / "deploy")
    shutil.copy(package, given)
    service = commands("install.md", "Debian package and systemd")
    assert "\nshardlet status\n" in service
    script = "\n".join(
        [
            f"( {commands('certificates.md', 'One for all members')} )",
            # Without a replica it is not ready, which `status` tells by its exit code.
            service.replace("\nshardlet status\n", "\n[[ $(shardlet status) == zot-1:* ]]\n"),
            "echo === installed",
            "stat -c '%U:%G %a' /etc/shardlet /etc/shardlet/tls.key",
            "systemd-analyze verify shardlet.service",
            "echo === refused",
            "echo 'clutser: {}' > /etc/shardlet/proxy.yaml",
            "if sudo systemctl reload shardlet; then exit 1; fi",
            "shardlet drain --wait",
            # The keys in /etc/shardlet are the operator's: they stay.
            "dpkg --purge shardlet",
            "test -e /etc/shardlet/hash.key",
            "for left in /etc/shardlet/proxy.yaml /var/lib/shardlet /usr/bin/shardlet; do if [[ -e $left ]]; then exit 1; fi; done",
        ]
    )
    done = machine.run_in_one(tmp_path, given, script)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    before, after = done.stdout.split("=== installed\n")
    assert "the configuration is in force" in before
    installed, refused = after.split("=== refused\n")
    assert installed == "root:shardlet 750\nroot:shardlet 640\n"
    assert "unknown key `clutser`" in done.stderr and refused.startswith("draining")


def test_the_commands_for_kubernetes(tmp_path: Path) -> None:
    """kubectl is a stand-in: it builds what it would apply, and notes what it is asked."""
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(
        "#!/bin/bash\n"
        f'echo "$*" >> {tmp_path}/asked\n'
        f'if [[ $1 == apply ]]; then {go_tool("kustomize")} build "$3" > {tmp_path}/applied; fi\n'
    )
    kubectl.chmod(0o755)
    script = commands("install.md", "Kubernetes")
    path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = attempt(["bash", "-e", "-c", f"cd {tmp_path}\n{script}"], env=path)
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [words.split()[-1] for words in asked] == ["registry", ".", "statefulset/registry", "status"]
    documents = built(overlay(tmp_path / "again", "registry-0", "registry-1", "registry-2"))
    workload = one(documents, "StatefulSet", "registry")
    assert workload["metadata"]["namespace"] == "registry"
    found = re.search(r"-n (\S+) exec (\S+) -c (\S+) --", asked[-1])
    assert found
    names = [container["name"] for container in workload["spec"]["template"]["spec"]["containers"]]
    assert found.groups() == ("registry", "registry-0", names[0])
    assert "kind: StatefulSet" in (tmp_path / "applied").read_text()
