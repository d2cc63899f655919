"""docs/migrate.md, from zot's cluster mode: three zots become three sidecars with a zot each, one by one, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from lib.process import Ports, Process, accepts, run, wait_until
from lib.pushes import PATIENCE_SECONDS, Pushes
from lib.replica import Place, Zot
from lib.sidecar import binary
from lib.store import Moto

# zot looks for itself among the addresses of interfaces, so all are at one.
HOST = "127.0.0.1"
MEMBERS = ("zot-1", "zot-2", "zot-3")
HASH_KEY = "loremipsumdolors"
NAMES = [f"moved/{number}" for number in range(40)]
# Over what is imported: the first sidecar waits for `aftermath`, and what has no way yet for `hold`.
SHORTER = {"timeouts": {"aftermath": "4s", "drain_delay": "0s"}, "writes": {"hold": "1s"}}
START_SECONDS = 30.0


class ClusterMode(Zot):
    """As the document finds it."""

    members: tuple[str, ...]

    def _config(self) -> dict:
        return super()._config() | {"cluster": {"members": list(self.members), "hashKey": HASH_KEY}}


class Machine:
    """One of the three: a zot of the cluster, or a sidecar at its address with a zot behind it."""

    def __init__(self, zot: ClusterMode, ports: Ports) -> None:
        self.base = f"http://{zot.address}"
        self._old, self._folder = zot, zot.place.directory
        self._replica, self._peers, self._admin = (ports.take() for _ in range(3))
        self._new: list[Process] = []

    def import_it(self, peers: dict[str, str]) -> None:
        run([binary(), "import", "zot", self._folder / f"{self._old.name}.json", "--write", self._folder / "new"])
        # On a machine of its own nothing of this would have to be changed.
        proxy = self._folder / "new" / "proxy.yaml"
        config = yaml.safe_load(proxy.read_text())
        config["registry"]["address"] = f"{HOST}:{self._replica}"
        config["listen"] |= {"peers": {"address": self.peers}, "admin": {"address": f"{HOST}:{self._admin}"}}
        for member in config["cluster"]["members"]:
            member["address"] = peers[member["id"]]
        proxy.write_text(yaml.safe_dump(config | SHORTER, sort_keys=False))
        zot = self._folder / "new" / "zot.json"
        config = json.loads(zot.read_text())
        config["http"] |= {"address": HOST, "port": str(self._replica)}
        zot.write_text(json.dumps(config))

    @property
    def peers(self) -> str:
        return f"{HOST}:{self._peers}"

    @property
    def proxy(self) -> Path:
        return self._folder / "new" / "proxy.yaml"

    def move(self) -> None:
        self._old.process.stop()
        zot = [self._old.binary(), "serve", self._folder / "new" / "zot.json"]
        keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_REGION": "us-east-1"}
        sidecar = [binary(), "run", "--config", self.proxy]
        self._new = [
            Process(f"zot of {self.base}", zot, self._folder / "new.log", keys),
            Process(f"sidecar of {self.base}", sidecar, self._folder / "sidecar.log"),
        ]
        ports = (self._old.place.port, self._replica)
        self._new[1].wait_ready(lambda: all(accepts(HOST, port) for port in ports), START_SECONDS)

    def go_back(self) -> None:
        for process in reversed(self._new):
            process.stop()
        self._new = []
        self._old.restart()

    def stop(self) -> None:
        for process in (*self._new, self._old.process):
            process.stop()


@pytest.fixture
def machines(moto: Moto, ports: Ports, tmp_path: Path) -> Iterator[list[Machine]]:
    if not Zot.binary():
        pytest.skip("no zot binary")
    taken = [ports.take() for _ in MEMBERS]
    ClusterMode.members = tuple(f"{HOST}:{port}" for port in taken)
    bucket = moto.bucket("cluster-mode")
    made: list[Machine] = []
    try:
        for member, port in zip(MEMBERS, taken, strict=True):
            zot = ClusterMode("zot", Place(HOST, port, tmp_path / member), bucket, relative_urls=True)
            made.append(Machine(zot, ports))
            zot.wait_ready()
        peers = {member: machine.peers for member, machine in zip(MEMBERS, made, strict=True)}
        for machine in made:
            machine.import_it(peers)
        yield made
    finally:
        for machine in made:
            machine.stop()


def test_the_fleet_moves_and_goes_back_under_pushes(machines: list[Machine], figures: list[str]) -> None:
    owners = dict(line.split("\t") for line in run([binary(), "owner", "-c", machines[0].proxy, *NAMES]).splitlines())
    owned = [next(name for name in NAMES if owners[name] == member) for member in MEMBERS]
    with Pushes([machine.base for machine in machines], owned) as pushes:
        for moved, machine in enumerate(machines, start=1):
            machine.move()
            _wait_for(pushes, machines, owned, moved)
        for left, machine in enumerate(machines, start=1):
            machine.go_back()
            _wait_for(pushes, machines[::-1], owned[::-1], len(machines) - left)
    done = [push for push in pushes.done if push.status == 201]
    lost = [push for machine in machines for push in pushes.lost(machine.base)]
    figures.append(f"zot's cluster mode to sidecars and back: {len(lost)} of {len(done)} acknowledged pushes lost")
    assert len(done) > 100
    assert not lost, lost[:5]


def _wait_for(pushes: Pushes, machines: list[Machine], owned: list[str], moved: int) -> None:
    """What the document's table says of a push through an entrance, when so many of the machines have moved."""
    wanted = {
        (entrance, owner): 503 if entrance < moved <= owner else 201
        for entrance in range(len(machines))
        for owner in range(len(machines))
    }
    seen: dict[tuple[int, int], int | None] = {}

    def agrees() -> bool:
        for (entrance, owner), status in wanted.items():
            seen[entrance, owner] = pushes.push_once(machines[entrance].base, owned[owner], f"step-{moved}")
            if seen[entrance, owner] != status:
                return False
        return True

    try:
        wait_until(f"the table with {moved} moved", agrees, PATIENCE_SECONDS)
    except AssertionError as error:
        raise AssertionError(f"{error}: {wanted} is wanted, {seen} is seen") from error
