"""A real Prometheus, by the configuration of compose/observe, that looks oftener."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import yaml

from .deployed import DEPLOY, REPOSITORY
from .process import Ports, Process

START_SECONDS = 30.0
OFTEN = {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "250ms"}


class Prometheus:
    """It watches `targets`, instead of the members of the compose file."""

    def __init__(self, targets: Sequence[str], ports: Ports, directory: Path) -> None:
        config = yaml.safe_load((REPOSITORY / "compose" / "observe" / "prometheus.yml").read_text())
        config["global"] = OFTEN
        config["rule_files"] = [str(DEPLOY / "observe" / "alerts.yaml")]
        [job] = config["scrape_configs"]
        job["static_configs"] = [{"targets": list(targets)}]
        (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
        self._ports, self._port = ports, ports.take()
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self._port}", trust_env=False)
        flags = [
            f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        self.process = Process("prometheus", ["prometheus", *flags], directory / "prometheus.log")
        self.process.wait_ready(self._is_ready, START_SECONDS)

    def stop(self) -> None:
        self._http.close()
        self.process.stop()
        self._ports.free(self._port)

    def values(self, query: str) -> list[float]:
        """What an expression gives now: a number for each series."""
        return [float(one["value"][1]) for one in self._ask("query", query=query)["result"]]

    def rules(self) -> dict[str, str]:
        """Alert → whether it could be judged: `unknown`, `ok` or `err`."""
        return {rule["name"]: rule["health"] for group in self._ask("rules")["groups"] for rule in group["rules"]}

    def firing(self) -> list[str]:
        return [alert["labels"]["alertname"] for alert in self._ask("alerts")["alerts"] if alert["state"] == "firing"]

    def _is_ready(self) -> bool:
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def _ask(self, path: str, **query: str) -> Any:
        answer = self._http.get(f"/api/v1/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]
