"""Machines of their own for members: a network namespace each, joined by a bridge, parted by iptables."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from lib.cluster import Site

# Addresses for measurements (RFC 2544), so nobody's network is shadowed; others for each run, so that two on one machine
# do not get each other's packets.
SUBNET = f"198.18.{os.getpid() % 256}"
BRIDGE_ADDRESS = f"{SUBNET}.1"


class Impossible(Exception):
    """This machine lets us make no namespaces."""


@dataclass(frozen=True)
class Network:
    name: str
    sites: tuple[Site, ...]

    def drop(self, one: Site, other: Site) -> None:
        """What is sent from either to the other is lost; everybody else is reached as before."""
        self._filter(one, other, "DROP")
        self._filter(other, one, "DROP")

    def refuse(self, one: Site, other: Site) -> None:
        """What `one` sends to `other` is answered with RST. In both directions each would lose the other's RST."""
        self._filter(other, one, "REJECT", "--reject-with", "tcp-reset")

    def drop_calls(self, one: Site, other: Site, port: int) -> None:
        """What `one` sends to that port of `other` is lost; what `other` asks of `one` comes through, both ways."""
        self._filter(other, one, "DROP", match=("--dport", str(port)))

    def refuse_calls(self, one: Site, other: Site, port: int) -> None:
        """The same, answered with RST."""
        self._filter(other, one, "REJECT", "--reject-with", "tcp-reset", match=("--dport", str(port)))

    def first(self, count: int) -> Network:
        """The same network, with so many of its machines."""
        return dataclasses.replace(self, sites=self.sites[:count])

    def _filter(self, at: Site, source: Site, *verdict: str, match: Sequence[str] = ()) -> None:
        run([*at.prefix, "iptables", "-w", "-A", "INPUT", "-s", source.host, "-p", "tcp", *match, "-j", *verdict])

    def join(self) -> None:
        """Ends every partition."""
        for site in self.sites:
            run([*site.prefix, "iptables", "-w", "-F", "INPUT"])

    def remove(self) -> None:
        for number in range(len(self.sites)):
            # A namespace lives on while a closed connection in it waits for its last packet; its cable need not.
            attempt(["ip", "link", "del", f"{self.name}v{number}"])
            attempt(["ip", "netns", "del", f"{self.name}-{number}"])
        attempt(["ip", "link", "del", self.name])


def make(count: int) -> Network:
    for tool in ("ip", "iptables"):
        if not shutil.which(tool, path=_path()):
            raise Impossible(f"{tool} is not installed")
    # An interface name has at most 15 characters.
    name = f"shl{os.getpid() % 100_000}"
    sites = tuple(
        Site(f"{SUBNET}.{number + 11}", ("ip", "netns", "exec", f"{name}-{number}")) for number in range(count)
    )
    made = Network(name, sites)
    try:
        _build(made)
    except subprocess.CalledProcessError as error:
        made.remove()
        raise Impossible(f"{' '.join(error.cmd)}: {error.stderr.strip()}") from error
    return made


def _build(network: Network) -> None:
    bridge = network.name
    run(["ip", "link", "add", bridge, "type", "bridge"])
    run(["ip", "addr", "add", f"{BRIDGE_ADDRESS}/24", "dev", bridge])
    run(["ip", "link", "set", bridge, "up"])
    for number, site in enumerate(network.sites):
        namespace, cable = f"{bridge}-{number}", f"{bridge}v{number}"
        run(["ip", "netns", "add", namespace])
        run(["ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace])
        run(["ip", "link", "set", cable, "master", bridge, "up"])
        run([*site.prefix, "ip", "addr", "add", f"{site.host}/24", "dev", "eth0"])
        for device in ("lo", "eth0"):
            run([*site.prefix, "ip", "link", "set", device, "up"])
    # A kernel may have namespaces and no filters.
    network.drop(*network.sites[:2])
    network.refuse(*network.sites[:2])
    network.join()


def run(argv: Sequence[str]) -> None:
    subprocess.run(argv, check=True, capture_output=True, text=True, env={"PATH": _path()})


def attempt(argv: Sequence[str]) -> None:
    subprocess.run(argv, check=False, capture_output=True, env={"PATH": _path()})


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
