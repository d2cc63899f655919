"""deploy/observe: rules that fire when they should, and a dashboard that asks for metrics that exist."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lib.cluster import Cluster
from lib.deployed import DEPLOY, REPOSITORY
from lib.process import Ports, attempt, run, wait_until
from lib.prometheus import Prometheus

OBSERVE = DEPLOY / "observe"
WATCHED_SECONDS = 30.0
# What Prometheus itself knows of a target.
OF_PROMETHEUS = {"up": {"instance", "job"}}
_NAME = re.compile(r"\b(?:shardlet|process)_[a-z_]+\b|\bup\b")
_ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (.*?) \|", re.MULTILINE)
_SELECTED = re.compile(r"\b((?:shardlet|process)_[a-z_]+|up)\{([^}]*)\}")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPED = re.compile(r"\bby \(([^)]*)\)")


@pytest.fixture(scope="module")
def documented() -> dict[str, set[str]]:
    """Every series that docs/metrics.md has, with its labels. A test of the program holds that page."""
    series = dict(OF_PROMETHEUS)
    for name, kind, labels in _ROW.findall((REPOSITORY / "docs" / "metrics.md").read_text()):
        own = set(re.findall(r"`(\w+)`", labels)) | {"instance", "job"}
        names = [f"{name}_{part}" for part in ("bucket", "sum", "count")] if kind == "histogram" else [name]
        series |= {each: own | ({"le"} if each.endswith("_bucket") else set()) for each in names}
    assert len(series) > 40
    return series


@pytest.fixture(scope="module")
def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((OBSERVE / "alerts.yaml").read_text())["groups"]
    return group["rules"]


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    return json.loads((OBSERVE / "dashboard.json").read_text())


def test_alerts_fire_when_they_should() -> None:
    run(["promtool", "check", "rules", OBSERVE / "alerts.yaml"])
    run(["promtool", "test", "rules", OBSERVE / "alerts_test.yaml"])


def test_every_alert_is_tested(rules: list[dict[str, Any]], tmp_path: Path) -> None:
    """Where none ever fires, the test of each fails: so each has one."""
    dead = [rule | {"expr": "vector(0) > 1"} for rule in rules]
    (tmp_path / "alerts_test.yaml").write_text((OBSERVE / "alerts_test.yaml").read_text())
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump({"groups": [{"name": "shardlet", "rules": dead}]}))
    done = attempt(["promtool", "test", "rules", tmp_path / "alerts_test.yaml"])
    failed = re.findall(r"alertname: (\w+),", done.stdout + done.stderr)
    assert done.returncode != 0 and failed == [rule["alert"] for rule in rules], done.stdout + done.stderr


def test_every_alert_has_its_runbook(rules: list[dict[str, Any]]) -> None:
    text = (REPOSITORY / "docs" / "alerts.md").read_text()
    sections = re.findall(r"^## (\w+)\n\n(.+?)(?=\n## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in sections] == [rule["alert"] for rule in rules]
    for rule in rules:
        assert rule["annotations"]["runbook"] == f"docs/alerts.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_rules_and_dashboard_ask_for_what_exists(
    rules: list[dict[str, Any]], dashboard: dict[str, Any], documented: dict[str, set[str]]
) -> None:
    asked = [rule["expr"] for rule in rules] + list(_expressions(dashboard))
    assert len(asked) > 50
    for expression in asked:
        # Without the values of labels and what is grouped by: words there are no metrics.
        names = set(_NAME.findall(re.sub(r'"[^"]*"', '""', expression)))
        assert names and names <= documented.keys(), f"{names - documented.keys()} in {expression}"
        for name, labels in _SELECTED.findall(expression):
            assert set(_LABEL.findall(labels)) <= documented[name], expression
        known = set().union(*(documented[name] for name in names))
        for labels in _GROUPED.findall(expression):
            assert set(labels.replace(" ", "").split(",")) <= known, expression


def test_prometheus_can_read_the_dashboard(dashboard: dict[str, Any], tmp_path: Path) -> None:
    """Every query as a rule, since promtool has no other way to parse one."""
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(_queries(dashboard))]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = subprocess.run(["promtool", "check", "rules", tmp_path / "rules.yaml"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_prometheus_watches_a_fleet(
    fast_cluster: Cluster, dashboard: dict[str, Any], ports: Ports, tmp_path: Path
) -> None:
    """A real one, by the configuration of compose/observe: every rule is judged, none fires, panels show something."""
    sidecars = [member.sidecar for member in fast_cluster.members]
    prometheus = Prometheus([f"{sidecar.place.host}:{sidecar.place.admin}" for sidecar in sidecars], ports, tmp_path)
    try:
        up = 'up{job="shardlet"} == 1'
        wait_until("all members to be watched", lambda: len(prometheus.values(up)) == len(sidecars), WATCHED_SECONDS)
        wait_until("all rules to be judged", lambda: set(prometheus.rules().values()) == {"ok"}, WATCHED_SECONDS)
        assert len(prometheus.rules()) > 10
        assert not prometheus.firing()
        queries = _queries(dashboard)
        # Rates need two scrapes; what counts failures has nothing to show.
        wait_until(
            "most panels to show something",
            lambda: sum(bool(prometheus.values(query)) for query in queries) > len(queries) // 2,
            WATCHED_SECONDS,
        )
    finally:
        prometheus.stop()


def test_panels_are_apart_and_say_what_they_show(dashboard: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24 and panel["title"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    identities = [panel["id"] for panel in dashboard["panels"]]
    assert len(identities) == len(set(identities))


def _queries(dashboard: dict[str, Any]) -> list[str]:
    """What Grafana asks with all members chosen."""
    chosen = {"$__rate_interval": "5m", "$job": "shardlet.*", "$instance": ".*"}
    queries = [expression for expression in _expressions(dashboard) if not expression.startswith("label_values")]
    for name, value in chosen.items():
        queries = [query.replace(name, value) for query in queries]
    return queries


def _expressions(dashboard: dict[str, Any]) -> Iterator[str]:
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))
    yield from (annotation["expr"] for annotation in dashboard["annotations"]["list"])
    yield from (variable["query"]["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query")
