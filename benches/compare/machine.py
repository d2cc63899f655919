"""What a run was made on and with, in words; and who has which CPUs."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path


def pin() -> tuple[set[int], set[int]]:
    """CPUs of the proxies, and those of load and upstream, which this process takes for itself and what it starts."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise SystemExit("compare: two CPUs are needed, one for the proxies and one for load and upstream")
    proxies, others = {cpus[-1]}, set(cpus[:-1])
    os.sched_setaffinity(0, others)
    return proxies, others


def described() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    return f"{' '.join(model.split())}, {os.cpu_count()} CPUs, Linux {platform.release()}"


def versions(shardlet: Path, zot: str | None) -> str:
    found = [
        f"shardlet {_version([shardlet, '--version'])}",
        f"HAProxy {_version(['haproxy', '-v'])}",
        f"nginx {_version(['nginx', '-v'])}",
    ]
    if zot:
        found.append(f"zot {_zot_version(zot)}")
    return ", ".join(found)


def _version(command: list[str | Path]) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
    match = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
    return match[0] if match else "of an unknown version"


def _zot_version(zot: str) -> str:
    done = subprocess.run([zot, "--version"], capture_output=True, text=True, check=False)
    match = re.search(r'"commit":"([^"]+)"', done.stdout + done.stderr)
    return match[1] if match else "of an unknown version"
