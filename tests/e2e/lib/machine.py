"""A throwaway machine: this one's files under an overlay, with mounts, processes and a loopback of its own.

What is installed in it is gone with it. systemctl, apt and sudo are stand-ins that do the part that counts here.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from .process import attempt

_NAMESPACES = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
_OUTER = """
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
ip link set lo up
cp -r "$2" "$1/root/given"
cd /
exec chroot "$1/root" bash -e /given/script
"""
_STAND_INS = {
    "sudo": """
if [[ $1 == -u ]]; then exec setpriv --reuid="$2" --regid="$2" --clear-groups -- "${@:3}"; fi
exec "$@"
""",
    "apt": """
[[ $1 == install ]] && exec dpkg --install "$2"
""",
    # As the unit says: its variables, its user, its command.
    "systemctl": """
unit=/usr/lib/systemd/system/shardlet.service
of() { sed -n "s/^$1=-\\\\{0,1\\\\}//p" "$unit"; }
run() { read -ra words < <(of "$1"); setpriv --reuid="$(of User)" --regid="$(of Group)" --clear-groups -- "${words[@]}"; }
case "$*" in
  "enable --now shardlet")
    export RUNTIME_DIRECTORY="/run/$(of RuntimeDirectory)"
    install -d -o shardlet -g shardlet -m 700 /var/lib/shardlet "$RUNTIME_DIRECTORY"
    set -a; source "$(of EnvironmentFile)"; set +a
    run ExecStart >/given/log 2>&1 &
    for _ in {1..300}; do curl -sf http://127.0.0.1:9900/healthz >/dev/null && exit 0; sleep 0.1; done
    cat /given/log; exit 1 ;;
  "reload shardlet") run ExecReload ;;
  *) echo "systemctl $*: not expected" >&2; exit 1 ;;
esac
""",
}


def run_in_one(folder: Path, given: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Runs a bash script, which finds `given` at /given and ends with the first command that fails."""
    place = folder / "machine"
    place.mkdir()
    stand_ins = given / "bin"
    stand_ins.mkdir()
    for name, body in _STAND_INS.items():
        (stand_ins / name).write_text(f"#!/bin/bash\n{body}")
        (stand_ins / name).chmod(0o755)
    (given / "script").write_text(f"export PATH=/given/bin:$PATH\ncd /given\n{script}")
    return attempt([*_NAMESPACES, "bash", "-c", _OUTER, "bash", place, given], 300)


def why_none() -> str | None:
    """Why there can be no such machine here; None if there can."""
    if os.geteuid() != 0:
        return "only root may mount"
    command = 'mount -t tmpfs tmpfs /mnt && mkdir /mnt/u /mnt/w /mnt/r && mount -t overlay o -o "$1" /mnt/r'
    options = "lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w"
    done = attempt([*_NAMESPACES, "bash", "-c", command, "bash", options])
    return None if done.returncode == 0 else f"no overlay can be mounted: {done.stderr.strip()}"
