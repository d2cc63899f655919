"""Browsers at zot: a session that began at one member is good at all of them, if the replicas share their keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from lib.certs import Authority
from lib.client import Registry
from lib.cluster import Cluster, Member, Shape
from lib.process import Ports
from lib.replica import ZotWithLogin, ZotWithSharedSessions
from lib.store import Moto

# Without it zot makes no session of a login, and looks at none.
BROWSER = {"X-ZOT-API-CLIENT": "zot-ui"}
LOGIN = (ZotWithLogin.USER, ZotWithLogin.PASSWORD)
OURS = "SHARDLET"
TIMEOUT_SECONDS = 30.0


@pytest.fixture(scope="module", params=[ZotWithSharedSessions, ZotWithLogin], ids=["shared keys", "keys of their own"])
def login_cluster(
    request: pytest.FixtureRequest, moto: Moto, authority: Authority, ports: Ports, run_dir: Path
) -> Iterator[Cluster]:
    kind: type[ZotWithLogin] = request.param
    if not kind.binary():
        pytest.skip("no zot binary")
    cluster = Cluster(Shape(kind, moto.bucket(kind.__name__.lower())), authority, ports, run_dir / kind.__name__)
    try:
        cluster.wait_settled()
        yield cluster
    finally:
        cluster.stop()


def test_a_session_that_began_by_v2(login_cluster: Cluster) -> None:
    shared = login_cluster.shape.kind is ZotWithSharedSessions
    home, *others = login_cluster.members
    repositories = {member.id: login_cluster.repository_of(member, "login") for member in login_cluster.members}
    with Registry(login_cluster.bases, login=LOGIN) as registry:
        for repository in repositories.values():
            registry.push_image(repository, "v1", [b"layer"])
    with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False, headers=BROWSER) as browser:
        said = browser.get(f"{home.sidecar.base}/v2/", auth=LOGIN)
        assert said.status_code == 200
        assert "session" in said.cookies
        assert OURS not in said.cookies, "there is nothing to keep together"
        session = {"Cookie": "; ".join(f"{name}={value}" for name, value in said.cookies.items())}
        page = browser.get(f"{home.sidecar.base}/")
        sticky = {"Cookie": f"{session['Cookie']}; {OURS}={page.cookies[OURS]}"}
        browser.cookies.clear()

        def statuses(through: Member, cookies: dict[str, str]) -> dict[str, int]:
            """Of the calls for each member's repository."""
            calls = {owner: f"{through.sidecar.base}/v2/{name}/tags/list" for owner, name in repositories.items()}
            return {owner: browser.get(call, headers=cookies).status_code for owner, call in calls.items()}

        known = {home.id: 200} | {member.id: 200 if shared else 401 for member in others}
        for through in login_cluster.members:
            for cookies in (session, sticky):
                assert statuses(through, cookies) == known, f"through {through.id}"
        # What any replica may answer: with our cookie the one where the session began does.
        catalogs = [f"{member.sidecar.base}/v2/_catalog" for member in login_cluster.members]
        answers = [browser.get(catalog, headers=sticky).status_code for catalog in catalogs]
        assert answers == [200] * len(catalogs)
        if shared:
            assert [browser.get(catalog, headers=session).status_code for catalog in catalogs] == answers
