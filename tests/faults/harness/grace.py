"""What the tests of single writers have in common: how long a write may take, and how long anybody waits.

The grace is `timeouts.aftermath`: for so long a replica may go on with a write that nobody waits for.
"""

from __future__ import annotations

# How long a replica is at a write when something happens, as a part of the grace: nobody has to wait for longer.
TAIL = 0.7
# Until every repository has taken a first push.
START_SECONDS = 20.0
# Beyond the grace, until all repositories are taken again.
BACK_SECONDS = 10.0
REQUIRED = "never two writers of one repository, 0 acknowledged pushes lost; all are taken again ≤ aftermath + 10 s"


def pinned_names(count: int) -> list[str]:
    """Repositories under one prefix, which a pin gives to one member."""
    return [f"moved/{number}" for number in range(count)]
