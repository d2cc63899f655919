"""Members whose lists change: sidecars are restarted and reloaded one by one while their replicas go on.

Every list that was ever given to a member is kept, so that at the end it is known who may have written what.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from lib import sidecar as sidecars
from lib.certs import Authority
from lib.cluster import Member, Site
from lib.process import Ports, accepts, run, wait_until
from lib.replica import Place as ReplicaPlace
from lib.sidecar import Settings, Sidecar, binary, merged
from lib.store import Directory

from .ask import once
from .shared_index import SharedIndex

LOOPBACK = tuple(Site(f"127.0.0.{number}") for number in (11, 12, 13, 14))
EXIT_SECONDS = 30.0
NAMES_TRIED = 50
READY_SECONDS = 60.0
TAKEN = 202
# While a fleet starts: so that no test waits for what another one shows.
FIRST_GRACE = "1s"
# Quick, and together well below every grace of these tests.
SETTINGS: Settings = {
    "probes": {"interval": "200ms", "timeout": "500ms"},
    "timeouts": {"aftermath": FIRST_GRACE, "drain": "2s", "idle": "5m"},
    "resolve": {"interval": "1s"},
    "log": {"requests": False},
    # A member takes another list when it is told to.
    "reload": {"watch": False},
}


@dataclass(frozen=True)
class View:
    """What members are given as their list: ids by place, in order, and who owns which prefix."""

    ids: tuple[tuple[int, str], ...]
    pins: Mapping[str, str] = field(default_factory=dict)


class Fleet:
    """All replicas run from the beginning, the sidecars of the first `count` too. `stop` ends all."""

    def __init__(
        self,
        authority: Authority,
        ports: Ports,
        directory: Path,
        *,
        aftermath: float,
        settings: Settings | None = None,
        count: int = 3,
        sites: Sequence[Site] = LOOPBACK,
        view: Callable[[Fleet], View] | None = None,
        launchers: Mapping[str, tuple[str, ...]] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        """`view`: what all are given at first. By the member's id, `launchers`: what its sidecar is started through;
        `names`: the host name by which it knows its replica."""
        self.authority, self.directory, self.aftermath = authority, directory, aftermath
        self.store = Directory(directory / "indexes")
        self.views: list[View] = []
        self.members: list[Member] = []
        self.replicas: list[SharedIndex] = []
        # Which members may have had a replica as theirs, by its name.
        self.ids_of: dict[str, set[str]] = {}
        self._numbers = itertools.count()
        self._settings = merged(SETTINGS, settings or {})
        self._own: dict[str, Settings] = {}
        ours = [site.host for site in sites if not site.prefix]
        self.replica_port, clients, peers, admin = (ports.take(*ours) for _ in range(4))
        for id, name in (names or {}).items():
            self._own[id] = {"registry": {"address": f"{name}:{self.replica_port}"}}
        self.places = [
            sidecars.Place(f"member-{number}", site.host, clients, peers, admin, site.prefix)
            for number, site in enumerate(sites, start=1)
        ]
        try:
            for place in self.places:
                self.add_replica(f"{place.id}-replica", place.id, place.host, place.prefix)
            for at, place in enumerate(self.places):
                through = (launchers or {}).get(place.id, ())
                self.places[at] = dataclasses.replace(place, prefix=place.prefix + through)
            first = view(self) if view else self.view_of(count)
            for _ in range(count):
                self.add(first)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        for process in [*(member.sidecar.process for member in self.members), *(one.process for one in self.replicas)]:
            process.kill()

    def add_replica(self, name: str, owner: str, host: str, prefix: tuple[str, ...] = ()) -> SharedIndex:
        place = ReplicaPlace(host, self.replica_port, self.directory, prefix)
        replica = SharedIndex(name, place, self.store, relative_urls=True)
        self.replicas.append(replica)
        self.ids_of[name] = {owner}
        replica.wait_ready()
        return replica

    def add(self, view: View) -> Member:
        """Starts the next member; does not wait until it is ready."""
        place = self.places[len(self.members)]
        replica = self.replicas[len(self.members)]
        # A name too, so that a member that is renamed in place is known by its address still.
        pair = self.authority.issue(place.id, place.id, place.host)
        trust = sidecars.Trust(self.authority.ca, pair, None)
        settings = merged(self._settings, self.settings_of(view))
        self._note(view)
        settings = merged(settings, self._own.get(place.id, {}))
        self.members.append(
            Member(place.id, Sidecar(place, replica.address, self.places, trust, self.directory, settings), replica)
        )
        return self.members[-1]

    def view(self, *ids: str, pins: Mapping[str, str] | None = None, renamed: Mapping[str, str] | None = None) -> View:
        """Of these members, by the ids that they have at first."""
        known = [place.id for place in self.places]
        return View(tuple((known.index(id), (renamed or {}).get(id, id)) for id in ids), pins or {})

    def view_of(self, count: int, **more: Mapping[str, str]) -> View:
        return self.view(*(place.id for place in self.places[:count]), **more)

    def settings_of(self, view: View) -> Settings:
        listed = [{"id": id, "address": self.places[at].peer_address} for at, id in view.ids]
        pins = [{"prefix": prefix, "member": id} for prefix, id in view.pins.items()]
        return {"cluster": {"members": listed, "pins": pins}}

    def owners(self, view: View, names: Sequence[str]) -> dict[str, str]:
        """Repository → member id, as `shardlet owner` names them from a file with this list."""
        file = self.members[0].sidecar.config.with_name(f"view-{next(self._numbers)}.yaml")
        given = yaml.safe_load(self.members[0].sidecar.config.read_text())
        file.write_text(yaml.safe_dump(merged(given, self.settings_of(view)) | {"member": view.ids[0][1]}))
        rows = json.loads(run([binary(), "owner", "--config", file, "--format", "json", *names]))
        return {row["repository"]: row["owner"] for row in rows}

    def moving(self, old: View, new: View, count: int, *, owner: str = "", to: str = "") -> list[str]:
        """Repositories that another member owns in the one view than in the other; which, if that is said."""
        return self._found(
            old, new, count, lambda one, other: one != other and owner in ("", one) and to in ("", other)
        )

    def staying(self, old: View, new: View, count: int, *, owner: str) -> list[str]:
        """Repositories that this member owns in both views."""
        return self._found(old, new, count, lambda one, other: one == other == owner)

    def _found(self, old: View, new: View, count: int, fits: Callable[[str, str], bool]) -> list[str]:
        names = [f"found/{next(self._numbers)}" for _ in range(NAMES_TRIED * count)]
        before, after = self.owners(old, names), self.owners(new, names)
        found = [name for name in names if fits(before[name], after[name])][:count]
        assert len(found) == count, f"only {len(found)} of {count} repositories were found"
        return found

    def owner(self, view: View, repository: str) -> Member:
        id = self.owners(view, [repository])[repository]
        return next(member for member in self.members if member.id == id)

    def wait_ready(self, member: Member) -> None:
        """However long it may take to be sure that nobody else writes."""
        member.sidecar.process.wait_ready(member.sidecar.is_ready, self.aftermath + READY_SECONDS)

    def settle(self) -> None:
        """Until each member that runs writes what it owns, and has the grace of this fleet."""
        view = self.views[-1]
        names = [f"settle/{number}" for number in range(64)]
        owners = self.owners(view, names)
        for member in self.members:
            name = next(name for name in names if owners[name] == member.id)
            path = f"/v2/{name}/blobs/uploads/"
            taken = lambda member=member, path=path: once(member, "POST", path, b"").status == TAKEN  # noqa: E731
            self.wait_ready(member)
            wait_until(f"{member.id} to write", taken, READY_SECONDS)
        self._settings = merged(self._settings, {"timeouts": {"aftermath": f"{self.aftermath * 1e3:.0f}ms"}})
        for member in self.members:
            self.reload(member, view)

    def set_own(self, member: Member, settings: Settings) -> None:
        """What this member's file has beside what all have, from its next reload or restart on."""
        self._own[member.id] = merged(self._own.get(member.id, {}), settings)

    def give(self, member: Member, view: View) -> None:
        """Writes its file; it is told nothing."""
        self._note(view)
        own = self._own.get(member.id, {})
        member.sidecar.configure(merged(merged(self._settings, self.settings_of(view)), own))

    def reload(self, member: Member, view: View) -> None:
        self.give(member, view)
        place = member.sidecar.place
        # It may have just been started.
        wait_until(f"{member.id} to listen", lambda: accepts(place.host, place.admin), READY_SECONDS)
        answer = member.sidecar.reload()
        assert answer.taken, answer.text

    def start(self, member: Member, view: View) -> None:
        """After its process has ended; does not wait until it is ready."""
        self.give(member, view)
        member.sidecar.start_again()

    def restart(self, member: Member, view: View) -> None:
        """By SIGKILL; does not wait until it is ready."""
        member.sidecar.process.kill()
        self.start(member, view)

    def replace_all(self, view: View, by: signal.Signals) -> None:
        """All end at once, then all start with another list, and with them those that are new in it."""
        for member in self.members:
            member.sidecar.process.signal(by)
        for member in self.members:
            member.sidecar.process.wait(EXIT_SECONDS)
        for at, _ in view.ids:
            if at < len(self.members):
                self.start(self.members[at], view)
            else:
                self.add(view)

    def wait_written_by(self, replica: str, names: Sequence[str], limit: float) -> None:
        """Until that replica has written each of them."""
        writer = next(one for one in self.replicas if one.name == replica)

        def written() -> bool:
            return {write.repository for write in writer.writes()} >= set(names)

        wait_until(f"{replica} to write", written, limit)

    def wait_quiet(self) -> None:
        """Until no replica is at a write."""
        for replica in self.replicas:
            replica.wait_quiet()

    def _note(self, view: View) -> None:
        if view not in self.views:
            self.views.append(view)
