"""Requests at leisure into what is known to be broken, for a p99 of what answers at once.

The registry and the machine have a share in it. So the same client asks the same registry past the member in between,
and the member's own share is taken from its access log.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lib.cluster import Member
from lib.process import wait_until

from .ask import Asker, Seen
from .load import percentile
from .scale import Scale
from .seed import MANIFEST
from .table import Row

PACE_SECONDS = 0.005
LOG_SECONDS = 10.0


@dataclass(frozen=True)
class Answers:
    """What one client saw of one kind of requests."""

    seen: list[Seen]
    # The member's own share of each, in seconds; empty where no member was asked.
    own: list[float]

    @property
    def p99(self) -> float:
        return percentile([one.seconds for one in self.seen], 99)

    @property
    def own_p99(self) -> float:
        return percentile(self.own, 99)


@dataclass(frozen=True)
class Paced:
    writes: Answers
    reads: Answers
    # Of the replica beside the member, without the member.
    straight: Answers

    def tell(self, row: Row) -> None:
        for what, answers in (("rejects", self.writes), ("fallbacks", self.reads)):
            row.saw(
                f"{len(answers.seen)} {what}, p99 {answers.p99 * 1e3:.1f} ms"
                f" ({answers.own_p99 * 1e3:.1f} ms of it the member's own)"
            )
        row.saw(f"reads straight from that replica, p99 {self.straight.p99 * 1e3:.1f} ms")

    def assert_at_once(self, limit: float, scale: Scale) -> None:
        """A reject takes no longer than that, nor does what a member adds to a read of its replica. Seen by a client
        both may take longer where this registry does on this machine: a reject so long as one read, a read twice."""
        limit = max(limit, scale.p99_floor_seconds)
        assert self.writes.own_p99 < limit and self.reads.own_p99 < limit
        assert self.writes.p99 < max(limit, self.straight.p99)
        assert self.reads.p99 < max(limit, scale.p99_factor * self.straight.p99)


def paced(member: Member, repository: str, count: int) -> Paced:
    """Writes and reads in turn, and reads past the member, each kind on a connection of its own."""
    writer, reader, straight = Asker(member), Asker(member), Asker(member, past_sidecar=True)
    writes, reads, past = [], [], []
    for _ in range(count):
        writes.append(writer.write(repository, MANIFEST))
        reads.append(reader.read(repository))
        past.append(straight.read(repository))
        time.sleep(PACE_SECONDS)
    for asker in (writer, reader, straight):
        asker.close()
    shares = _shares_of(member, [one for one in [*writes, *reads] if one.status])
    return Paced(
        writes=_answers(writes, shares), reads=_answers(reads, shares), straight=Answers(past, [])
    )


def _answers(seen: list[Seen], shares: Mapping[str, float]) -> Answers:
    return Answers(seen, [shares[_id(one)] for one in seen if one.status])


def _shares_of(member: Member, answered: Sequence[Seen]) -> Mapping[str, float]:
    """As soon as all of them are in the access log, which is written a little later."""
    shares: dict[str, float] = {}

    def complete() -> bool:
        shares.update(_logged_shares(member))
        return all(_id(one) in shares for one in answered)

    wait_until("all requests to be in the access log", complete, LOG_SECONDS)
    return shares


def _id(answer: Seen) -> str:
    return answer.fields["x-request-id"]


def _own_milliseconds(entry: Mapping[str, float]) -> float:
    return entry["total_ms"] - entry["connect_ms"] - entry["client_ms"] - entry["replica_ms"]


def _logged_shares(member: Member) -> dict[str, float]:
    """By request id, in seconds: what a request took less what its upstream did."""
    shares = {}
    for line in member.sidecar.log.read_text(errors="replace").splitlines():
        # The last one may be half written.
        entry = json.loads(line) if line.startswith("{") and line.endswith("}") else {}
        if "total_ms" in entry:
            shares[entry["request_id"]] = _own_milliseconds(entry) / 1e3
    return shares
