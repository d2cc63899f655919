"""The means of the tests of leases are tried first: the store holds its conditions, and the checker finds what is wrong."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from harness.history import NOTHING, Operation, Outcome, violations
from harness.leased import falls
from harness.table import Row
from harness.warden import Warden
from lib.cluster import Member
from lib.lease_store import BUCKET, LeaseStore, Put
from lib.process import Ports

WRITERS = 8
RACES = 60


@pytest.fixture
def store(ports: Ports, tmp_path: Path) -> Iterator[LeaseStore]:
    made = LeaseStore([f"w{number}" for number in range(WRITERS)], ports, tmp_path)
    yield made
    made.stop()


class Client:
    """One writer, which keeps its connection."""

    def __init__(self, store: LeaseStore, name: str) -> None:
        self._connection = http.client.HTTPConnection(store.endpoint(name).removeprefix("http://"), timeout=10)

    def put(self, key: str, value: str, tag: str = "") -> int:
        fields = {"If-Match": tag} if tag else {"If-None-Match": "*"}
        self._connection.request("PUT", f"/{BUCKET}/{key}", value, fields)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status

    def tag(self, key: str) -> str:
        self._connection.request("GET", f"/{BUCKET}/{key}")
        answer = self._connection.getresponse()
        answer.read()
        return answer.getheader("ETag", "")


def races(store: LeaseStore) -> Counter[int]:
    """How many of all who wrote at once were told that they did, in each race: to create, and to replace."""
    clients = [Client(store, f"w{number}") for number in range(WRITERS)]
    barrier, won = threading.Barrier(WRITERS), Counter[int]()

    def put(at: int, key: str, tag: str) -> bool:
        barrier.wait()
        return clients[at].put(key, f"{key} {at} {tag}", tag) == 200

    with ThreadPoolExecutor(WRITERS) as pool:
        for race in range(RACES):
            key, tag = f"race/{race}", ""
            for _ in range(2):
                won[sum(pool.map(lambda at, key=key, tag=tag: put(at, key, tag), range(WRITERS)))] += 1
                tag = clients[0].tag(key)
    return won


@pytest.mark.row(50, "eight write one item of the stand-in for S3 at once, under one condition", "one is told that it did")
def test_the_store_holds_its_conditions(store: LeaseStore, row: Row) -> None:
    won = races(store)
    row.saw(f"{won.total()} races of {WRITERS}, {won[1]} with one winner")
    assert won == {1: 2 * RACES}
    store.is_to("racing")
    broken = races(store)
    row.saw(f"where it gives way between look and write, {broken.total() - broken[1]} of {broken.total()} have several")
    assert broken[1] < broken.total(), "these races would not find a store that does not hold its conditions"


def write(value: str, begun: float, ended: float, outcome: Outcome = Outcome.DONE) -> Operation:
    return Operation("r:t", value, begun, ended, is_write=True, outcome=outcome)


def read(value: str, begun: float, ended: float) -> Operation:
    return Operation("r:t", value, begun, ended, is_write=False)


UNKNOWN, REFUSED = Outcome.UNKNOWN, Outcome.REFUSED
GOOD = {
    "one after the other": [write("a", 0, 1), read("a", 2, 3), write("b", 4, 5), read("b", 6, 7)],
    "either, while it is written": [write("a", 0, 1), write("b", 2, 5), read("a", 3, 4), read("b", 3, 4)],
    "nothing, before the first": [read(NOTHING, 0, 1), write("a", 2, 3)],
    "not known, and never seen": [write("a", 0, 1), write("b", 2, 3, UNKNOWN), read("a", 4, 5)],
    "not known, and seen late": [write("a", 0, 1), write("b", 2, 3, UNKNOWN), read("a", 4, 5), read("b", 6, 7)],
    "not known, and written over": [write("b", 0, 1, UNKNOWN), write("a", 2, 3), read("a", 4, 5)],
    "refused": [write("a", 0, 1), write("b", 2, 3, REFUSED), read("a", 4, 5)],
}
BAD = {
    "lost": [write("a", 0, 1), read(NOTHING, 2, 3)],
    "stale": [write("a", 0, 1), write("b", 2, 3), read("a", 4, 5)],
    "back and forth": [write("a", 0, 1), write("b", 2, 9), read("b", 3, 4), read("a", 5, 6)],
    "refused, and seen": [write("a", 0, 1), write("b", 2, 3, REFUSED), read("b", 4, 5)],
    "before it was written": [read("a", 0, 1), write("a", 2, 3)],
    "of nobody": [write("a", 0, 1), read("b", 2, 3)],
    "not known, seen, and gone again": [
        write("a", 0, 1),
        write("b", 2, 3, UNKNOWN),
        read("b", 4, 5),
        read("a", 6, 7),
    ],
    "overwritten by an older one": [write("a", 0, 1), write("b", 2, 3), read("b", 4, 5), read("a", 6, 7)],
    "gone after it was seen": [write("a", 0, 1), read("a", 2, 3), read(NOTHING, 4, 5)],
}


@pytest.mark.row(51, "histories of a tag that one order explains, and some that none does", "the checker tells them apart")
def test_the_checker_finds_what_is_wrong(row: Row) -> None:
    assert {name: violations(history) for name, history in GOOD.items()} == dict.fromkeys(GOOD, [])
    assert [name for name, history in BAD.items() if not violations(history)] == []
    row.saw(f"{len(GOOD)} fine, {len(BAD)} found")


def lease(at: float, **value: object) -> Put:
    return Put(at, "lease/a", {"incarnation": 1, "version": 1, "acked": 1, "state": "live"} | value)


@pytest.mark.row(52, "a store in which a number falls, or an incarnation comes back", "that is found in its log")
@pytest.mark.parametrize(
    "then",
    [{"incarnation": 0}, {"version": 0}, {"acked": 0}],
    ids=lambda then: next(iter(then)),
)
def test_numbers_that_fall_are_found(row: Row, then: dict[str, int]) -> None:
    assert not falls([lease(1), lease(2, version=2)])
    found = falls([lease(1), lease(2, **then)])
    assert len(found) == 1
    assert falls([lease(1, state="fenced"), lease(2, version=2)])
    assert not falls([lease(1, state="fenced"), lease(2, version=2, incarnation=2, acked=0)])
    row.saw(found[0])


class Numbered:
    """A process as the warden sees it."""

    def __init__(self, exit_code: int | None) -> None:
        self.pid, self.exit_code, self.ends = 2, exit_code, 0

    def kill(self) -> None:
        self.ends += 1


class Beside:
    """A replica, which is there again at once."""

    name = "replica"

    def __init__(self) -> None:
        self.process = Numbered(None)

    def note_death(self) -> None: ...
    def start_again(self) -> None: ...
    def wait_ready(self) -> None: ...


@pytest.mark.row(77, "a sidecar dies that has the number of a process before it", "its replica ends with it all the same (L1)")
def test_numbers_of_processes_come_back(row: Row, tmp_path: Path) -> None:
    replica, sidecar = Beside(), SimpleNamespace(process=Numbered(None))
    member = cast("Member", SimpleNamespace(replica=replica, sidecar=sidecar))
    warden = Warden(tmp_path, ends_with_sidecar=True)
    warden.watch(member)
    try:
        for deaths in (1, 2):
            sidecar.process = Numbered(-9)
            warden.wait_dealt_with(member)
            assert replica.process.ends == deaths
    finally:
        warden.stop()
    row.saw(f"{replica.process.ends} of 2")
