"""The status page in a real browser: what it says without being loaded again, with and without scripts, on both kinds
of screen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lib import sidecar as sidecars
from lib.browser import Browser, Page
from lib.certs import Authority
from lib.client import Registry
from lib.cluster import Cluster, Shape
from lib.process import Ports, accepts, wait_until
from lib.replica import DockerRegistry
from lib.store import Directory

GOOD = "All 3 members answer"
MANY = 100
PATIENCE_SECONDS = 30.0


@pytest.fixture(scope="module")
def watched(authority: Authority, ports: Ports, run_dir: Path) -> Iterator[Cluster]:
    """Its members are killed and given wrong files."""
    settings = {"reload": {"watch": False}, "probes": {"interval": "500ms"}}
    shape = Shape(DockerRegistry, Directory(run_dir / "page-store"), settings=settings)
    cluster = Cluster(shape, authority, ports, run_dir / "page")
    try:
        cluster.wait_settled()
        yield cluster
    finally:
        cluster.stop()


def test_a_dead_member_is_told_without_loading_the_page_again(
    watched: Cluster, browser: Browser, pictures: Path
) -> None:
    first, second, third = watched.members
    _push_and_pull(watched)
    page = _marked(browser, first.sidecar)
    page.wait_text("#verdict", GOOD)
    wait_until("the traffic to be shown", lambda: "e2e/" in page.text("#repositories"), PATIENCE_SECONDS)
    third.sidecar.process.kill()
    verdict = page.wait_text("#verdict", f"{third.id} has not answered for", "refuses connections", "are read-only")
    assert "33 % of repositories" in verdict
    row = page.wait_text("tr.away", third.id, "down", "refuses connections")
    assert "same" not in row and "ok" not in row.split()
    assert page.run("document.title").startswith("✗ ")
    browser.shoot_all(first.sidecar.admin_url(), pictures / "down")

    third.sidecar.start_again()
    page.wait_text("#verdict", GOOD)
    page.wait_text("#changes", f"{third.id} is down", f"{third.id} is up")
    _is_the_same_and_without_complaints(page)


def test_a_repository_is_looked_up_without_loading_the_page_again(
    watched: Cluster, browser: Browser, pictures: Path
) -> None:
    first, second, _ = watched.members
    repository = watched.repository_of(second, "looked-up")
    page = _marked(browser, first.sidecar)
    _search(page, repository)
    answer = page.wait_text("#answer", repository, second.id)
    assert f"{second.id}, then {first.id}" in answer
    assert f"is forwarded to {second.id}" in answer
    assert page.run("location.search") == f"?repo={repository.replace('/', '%2F')}"
    _search(page, "Not a Name")
    page.wait_text("#answer", "not a repository name")
    _is_the_same_and_without_complaints(page)
    browser.shoot_all(first.sidecar.admin_url(f"/?repo={repository}"), pictures / "search")


def test_a_refused_reload_is_shown_until_another_is_taken(watched: Cluster, browser: Browser) -> None:
    first = watched.members[0].sidecar
    page = _marked(browser, first)
    with first.config.open("a") as file:
        file.write("pears: 1\n")
    assert not first.reload().taken
    page.wait_text("#verdict", "The changed configuration is not in force", "unknown key `pears`")
    page.wait_text("#refused", "unknown key `pears`")
    first.configure({})
    assert first.reload().taken
    page.wait_text("#verdict", GOOD)
    page.wait_text("#changes", "the configuration was taken", "was refused")
    assert page.text("#refused") == ""
    _is_the_same_and_without_complaints(page)


def test_nothing_is_asked_while_nobody_looks(watched: Cluster, browser: Browser) -> None:
    page = _marked(browser, watched.members[0].sidecar)
    asked = "performance.getEntriesByType('resource').filter((one) => one.initiatorType == 'fetch').length"
    wait_until("the page to look", lambda: page.run(asked) > 0, PATIENCE_SECONDS)
    show = "Object.defineProperty(document, 'hidden', {{ configurable: true, get: () => {} }});"
    event = "document.dispatchEvent(new Event('visibilitychange'));"
    page.run(show.format("true") + event)
    before = page.run(asked)
    # Longer than two of its intervals.
    page.run("new Promise((done) => setTimeout(done, 5000))")
    assert page.run(asked) <= before + 1
    page.run(show.format("false") + event)
    wait_until("the page to look again", lambda: page.run(asked) > before + 1, PATIENCE_SECONDS)
    _is_the_same_and_without_complaints(page)


def test_a_member_that_is_gone_does_not_go_on_looking_well(watched: Cluster, browser: Browser) -> None:
    first = watched.members[0].sidecar
    page = browser.open(first.admin_url())
    page.wait_text("#verdict", GOOD)
    first.process.kill()
    page.wait_text("#contact", "does not answer", "this is how it was at")
    first.start_again()
    wait_until("the page to be current", lambda: page.text("#contact") == "", PATIENCE_SECONDS)
    page.wait_text("#verdict", GOOD)
    page.close()


def test_it_works_without_scripts(watched: Cluster, browser: Browser) -> None:
    first, second, _ = watched.members
    repository = watched.repository_of(second, "scriptless")
    page = browser.open(first.sidecar.admin_url(f"/?repo={repository}"), script=False)
    assert GOOD in page.text("#verdict")
    assert second.id in page.text("#answer")
    assert "live" in page.text("noscript")
    page.go(first.sidecar.admin_url("/?live"))
    page.run("document.marked = true")
    assert page.text("form") == ""
    wait_until("the page to load itself", lambda: not page.run("!!document.marked"), PATIENCE_SECONDS)
    assert page.complaints() == []
    page.close()


def test_a_hundred_members_fit_on_both_screens(
    authority: Authority, ports: Ports, run_dir: Path, watched: Cluster, browser: Browser, pictures: Path
) -> None:
    host = "127.0.0.14"
    taken = clients, peers, admin = [ports.take(host) for _ in range(3)]
    # The others have no process: nobody listens there.
    names = [f"registry-{number:03}-of-a-cluster-with-a-rather-long-name" for number in range(MANY)]
    places = [
        sidecars.Place(name, host if not number else f"127.0.1.{number}", clients, peers, admin)
        for number, name in enumerate(names)
    ]
    trust = sidecars.Trust(authority.ca, authority.issue("hundred", names[0], host), None)
    directory = run_dir / "hundred"
    directory.mkdir()
    settings = {"probes": {"interval": "500ms"}}
    replica = watched.members[0].replica.address
    one = sidecars.Sidecar(places[0], replica, places, trust, directory, settings)
    try:
        one.process.wait_ready(lambda: accepts(host, admin), PATIENCE_SECONDS)
        page = browser.open(one.admin_url())
        page.wait_text("#verdict", f"{MANY - 1} of {MANY} members do not answer", "96 more", "99 % of repositories")
        assert page.run("document.querySelectorAll('#members tbody tr').length") == MANY
        assert page.run("document.querySelectorAll('#members tr.away').length") == MANY - 1
        assert page.complaints() == []
        page.close()
        browser.shoot_all(one.admin_url(), pictures / "hundred")
    finally:
        one.process.stop()
        for port in taken:
            ports.free(port)


def _marked(browser: Browser, sidecar: sidecars.Sidecar) -> Page:
    """A page that is known again as long as it is not loaded anew."""
    page = browser.open(sidecar.admin_url())
    page.run("window.marked = true")
    return page


def _is_the_same_and_without_complaints(page: Page) -> None:
    assert page.run("window.marked") is True
    assert page.complaints() == []
    page.close()


def _search(page: Page, name: str) -> None:
    page.run(f"document.getElementById('repo').value = {name!r}; document.getElementById('search').requestSubmit()")


def _push_and_pull(cluster: Cluster) -> None:
    with Registry(cluster.bases) as registry:
        for owner in cluster.members:
            repository = cluster.repository_of(owner, "busy")
            registry.push_image(repository, "latest", [b"a layer"])
            for _ in range(5):
                assert registry.manifest(repository, "latest").status_code == 200
