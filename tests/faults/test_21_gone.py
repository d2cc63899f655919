"""An owner that does not come back: writes wait for it, and no longer than they are to."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import MakeCluster
from harness import load
from harness.ask import once
from harness.attack import crowd_of_uploads, head_of_upload
from harness.scale import MIB, Scale
from harness.seed import seeded
from harness.table import Row
from harness.watched import Watched

BODY = 100 * MIB
PLACES = 4096
# Beyond the wait: all heads are read, and all answers sent, on the cores that the clients and all members share.
SLACK_SECONDS = 4.0
SLACK_SECONDS_EACH = 0.003
# As for connections that have not finished their heads.
BYTES_PER_CONNECTION = 64 << 10
BASE_GROWTH = 32 * MIB
PATIENCE_SECONDS = 120.0


@pytest.mark.row(
    43,
    "the owner is gone for good; uploads of 100 MiB each wait for it, whose clients send what is taken",
    "all get 503 with Retry-After after `writes.hold`; pulls unaffected; memory +32 MiB and 64 KiB for each at most",
)
def test_uploads_wait_for_an_owner_that_is_gone(
    make_cluster: MakeCluster, scale: Scale, row: Row, tmp_path: Path
) -> None:
    cluster = make_cluster({"writes": {"hold": f"{scale.hold_seconds:.0f}s", "limit": PLACES}})
    owner, arrival, other = cluster.members
    repository = seeded(cluster, owner, "gone", 1)[0]
    head = head_of_upload(cluster, arrival, repository, BODY)
    owner.sidecar.process.kill()
    with load.start(
        cluster, [arrival, other], [arrival, other], directory=tmp_path, scale=scale
    ) as background, Watched(arrival) as watched, background.phase("held"):
        crowd = crowd_of_uploads(
            arrival, head, tmp_path, patience=PATIENCE_SECONDS, count=scale.held, body=BODY
        )
        # Its own repositories too: another replica serves them meanwhile.
        read = once(arrival, "GET", f"/v2/{repository}/manifests/steady")
        done = crowd.done(2 * PATIENCE_SECONDS)
    seconds = sorted(one["seconds"] for one in done)
    refused = [one for one in done if one["status"] == 503 and one["retry_after"]]
    taken = sum(one["sent"] for one in done)
    span = f"{seconds[0]:.2f} to {seconds[-1]:.2f} s"
    row.saw(f"{len(refused)} of {len(done)} uploads got 503 with Retry-After, after {span}")
    row.saw(f"hold {scale.hold_seconds:.0f} s; {taken / len(done) / MIB:.1f} of {BODY / MIB:.0f} MiB were sent of each")
    row.saw(f"{watched.said(len(done))}; a read of its repository: {read}")
    assert len(refused) == len(done), [one for one in done if one not in refused][:3]
    assert seconds[0] >= scale.hold_seconds, "some were not held"
    assert seconds[-1] <= scale.hold_seconds + SLACK_SECONDS + len(done) * SLACK_SECONDS_EACH
    assert read.status == 200
    assert watched.grown <= BASE_GROWTH + len(done) * BYTES_PER_CONNECTION
    background.assert_unharmed(row, "held")
