"""What can be said of the files without an engine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.fleet import COMPOSE, MEMBERS, REPLICAS
from lib import sidecar
from lib.process import run

# Host side of a mount, and where it goes. Named volumes have no slash.
_MOUNT = re.compile(r"^(?:\$\{\w+:-)?(?P<host>\.[^}:]*)\}?:(?P<inside>[^:]+):ro$")
EXAMPLE_KEY = "replace-this-key"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]


def test_every_file_that_is_mounted_is_there(services: dict[str, Any]) -> None:
    mounted = [
        _MOUNT.match(volume)["host"]
        for service in services.values()
        for volume in service.get("volumes", [])
        if "/" in volume.split(":", 1)[0] or volume.startswith("$")
    ]
    assert len(mounted) > len(services)
    assert not [host for host in mounted if not (COMPOSE / host).exists()]


def test_each_profile_has_what_it_is_named_after(services: dict[str, Any]) -> None:
    by_profile: dict[str, set[str]] = {}
    for name, service in services.items():
        for profile in service.get("profiles", []):
            by_profile.setdefault(profile, set()).add(name)
    replicas = {profile: {f"{called}-{number}" for number in (1, 2, 3)} for profile, called in REPLICAS.items()}
    replicas["redis"].add("redis")
    assert by_profile == replicas | {"haproxy": {"haproxy"}, "observe": {"prometheus", "grafana"}}


def test_every_image_is_pinned_and_can_be_replaced(services: dict[str, Any]) -> None:
    images = {service["image"] for service in services.values()}
    pinned = re.compile(r"^\$\{\w+_IMAGE:-[a-z0-9./-]+\}:\$\{\w+_TAG:-(?!latest)[\w.-]+\}$")
    assert {image for image in images if not pinned.match(image)} == {"${SHARDLET_IMAGE:-shardlet:compose}"}


def test_the_members_configuration_is_right(tmp_path: Path) -> None:
    """But for the certificates, which are made when the fleet starts."""
    text = (COMPOSE / "proxy.yaml").read_text()
    assert EXAMPLE_KEY not in text
    config = yaml.safe_load(text)
    assert [member["id"] for member in config["cluster"]["members"]] == list(MEMBERS)
    del config["cluster"]["tls"], config["cluster"]["hash_key_file"]
    config["cluster"] |= {"insecure": True, "hash_key": "0123456789abcdef"}
    checked = tmp_path / "proxy.yaml"
    checked.write_text(yaml.safe_dump(config))
    run([sidecar.binary(), "check", checked], env={"SHARDLET_MEMBER": MEMBERS[0]})


def test_members_by_leases_take_their_store_and_their_own_addresses(tmp_path: Path) -> None:
    leased = yaml.safe_load((COMPOSE / "leased.yaml").read_text())["services"]
    base = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
    assert list(leased) == list(MEMBERS)
    config = yaml.safe_load((COMPOSE / "leased-proxy.yaml").read_text())
    assert config["cluster"]["coordination"]["store"]["s3"]["endpoint"] == "http://store:5000"
    del config["cluster"]["tls"], config["cluster"]["hash_key_file"]
    config["cluster"] |= {"insecure": True, "hash_key": "0123456789abcdef"}
    checked = tmp_path / "proxy.yaml"
    checked.write_text(yaml.safe_dump(config))
    for member, service in leased.items():
        # Another file at the same place, the store within reach, and the store's credentials.
        [volume] = service["volumes"]
        assert volume.endswith("-./leased-proxy.yaml}:/etc/shardlet/proxy.yaml:ro")
        assert volume.rsplit(":", 2)[1] in [mounted.rsplit(":", 2)[1] for mounted in base[member]["volumes"]]
        assert service["networks"] == {"store": {}} and "store" in service["depends_on"]
        environment = base[member]["environment"] | service["environment"]
        store = base["store"]["environment"]
        assert {name: environment[name] for name in environment if name.startswith("AWS_")}.items() <= store.items()
        told = run([sidecar.binary(), "check", checked], env=environment)
        assert f"local member {member} by SHARDLET_MEMBER" in told and "leased mode" in told
        assert f"reached at {member}:5443" in told and "s3://registry/shardlet at http://store:5000" in told


def test_prometheus_takes_its_configuration_and_our_alerts(tmp_path: Path) -> None:
    config = (COMPOSE / "observe" / "prometheus.yml").read_text()
    alerts = "/etc/shardlet/observe/alerts.yaml"
    assert alerts in config
    moved = tmp_path / "prometheus.yml"
    moved.write_text(config.replace(alerts, str(COMPOSE.parent / "deploy" / "observe" / "alerts.yaml")))
    told = run(["promtool", "check", "config", moved])
    assert "1 rule files found" in told


def test_the_script_of_certificates_is_clean() -> None:
    done = subprocess.run(["shellcheck", COMPOSE / "certificates.sh"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_dockerfile_is_clean() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, COMPOSE / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
