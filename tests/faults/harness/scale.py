"""How large each fault is: small enough for every change, or as large as the table of docs/faults.md asks."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class Scale:
    name: str
    # How long the background load runs before a fault, to know what is normal.
    normal_seconds: float
    # What the p99 of other repositories' pulls may be: so many times the normal one, but no less than so many seconds,
    # below which it tells of the machine.
    p99_factor: float
    p99_floor_seconds: float
    # What a client may measure beyond what is due, as it is stalled itself now and then.
    slack_seconds: float
    # Row 15: what a connection between members may cost.
    handshake_seconds: float
    # Row 1 and 9.
    blob_bytes: int
    # Row 3 and 6.
    frozen_seconds: float
    # Requests into an open circuit or a closed port, for a p99.
    samples: int
    # Row 7: repositories written to in each dispute.
    disputed: int
    # Row 8.
    restarts: int
    # Row 11: sent to a registry, and read by models of registries.
    paths: int
    generated_paths: int
    # Row 12.
    slow_connections: int
    header_bombs: int
    # Row 13.
    flood_seconds: float
    # Row 14.
    reloads: int
    # Row 15.
    connections: int
    # Row 42: by each client.
    downloads: int
    # Row 43.
    held: int
    hold_seconds: float
    # Rows that wait for `timeouts.aftermath`: once for each of these, in seconds.
    graces: tuple[float, ...]
    # How long members come and go at random.
    churn_seconds: float
    # Rows 50 and on: leases, in seconds; pushes to so many repositories, each after such a pause.
    lease: float
    lease_handoff: float
    lease_aftermath: float
    lease_repositories: int
    lease_pause: float
    # How many members join and leave again, for how long the store is away, for how long members come and go.
    lease_grows_to: int
    lease_outage: float
    lease_churn_seconds: float
    # `timeouts` where a row waits for them.
    idle: str
    idle_seconds: float


FAST = Scale(
    name="fast",
    normal_seconds=3.0,
    # 150 samples on two cores: one stall of the machine is all of the p99.
    p99_factor=3.0,
    p99_floor_seconds=0.250,
    slack_seconds=0.250,
    handshake_seconds=0.012,
    blob_bytes=64 * MIB,
    frozen_seconds=6.0,
    samples=200,
    disputed=30,
    restarts=1,
    paths=600,
    generated_paths=20_000,
    slow_connections=600,
    header_bombs=100,
    flood_seconds=3.0,
    reloads=3,
    connections=600,
    downloads=3,
    held=200,
    hold_seconds=3.0,
    graces=(5.0,),
    churn_seconds=25.0,
    lease=3.0,
    lease_handoff=2.0,
    lease_aftermath=3.0,
    lease_repositories=24,
    lease_pause=0.35,
    lease_grows_to=5,
    lease_outage=8.0,
    lease_churn_seconds=60.0,
    idle="2s",
    idle_seconds=2.0,
)

FULL = Scale(
    name="full",
    normal_seconds=20.0,
    p99_factor=2.0,
    p99_floor_seconds=0.010,
    slack_seconds=0.050,
    handshake_seconds=0.004,
    blob_bytes=1024 * MIB,
    frozen_seconds=60.0,
    samples=2000,
    disputed=200,
    restarts=5,
    paths=20_000,
    generated_paths=1_000_000,
    slow_connections=5000,
    header_bombs=2000,
    flood_seconds=30.0,
    reloads=20,
    connections=2000,
    downloads=50,
    held=2000,
    hold_seconds=10.0,
    graces=(5.0, 30.0),
    churn_seconds=600.0,
    lease=10.0,
    lease_handoff=5.0,
    lease_aftermath=30.0,
    lease_repositories=60,
    lease_pause=0.25,
    lease_grows_to=10,
    lease_outage=300.0,
    lease_churn_seconds=600.0,
    idle="5s",
    idle_seconds=5.0,
)
