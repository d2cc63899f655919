"""deploy/kubernetes: valid by the schemas of Kubernetes, and one thing with the configuration that it carries."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from lib.deployed import Document, built, one, overlay
from lib.process import attempt, run
from lib.replica import Zot
from lib.sidecar import binary

# The oldest that has native sidecars, and the newest that the validator knows.
VERSIONS = ("1.29", "1.37")
MEMBERS = ["registry-0", "registry-1", "registry-2"]
POD = {"app.kubernetes.io/name": "registry"}
PORTS = {"clients": 5000, "peers": 5443, "admin": 9900}


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return overlay(tmp_path_factory.mktemp("kubernetes"), *MEMBERS)


@pytest.fixture(scope="module")
def documents(example: Path) -> list[Document]:
    return built(example)


@pytest.fixture(scope="module")
def pod(documents: list[Document]) -> Document:
    return one(documents, "StatefulSet", "registry")["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def config(documents: list[Document]) -> Document:
    return yaml.safe_load(one(documents, "ConfigMap", "registry-proxy")["data"]["proxy.yaml"])


@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifests_are_valid(documents: list[Document], version: str, tmp_path: Path) -> None:
    manifests = tmp_path / "manifests.yaml"
    manifests.write_text(yaml.safe_dump_all(documents))
    run([sys.executable, "-m", "kubernetes_validate", "--strict", "-k", version, manifests])


def test_the_validator_finds_a_mistake(documents: list[Document], tmp_path: Path) -> None:
    wrong = json.loads(json.dumps(one(documents, "StatefulSet", "registry")))
    wrong["spec"]["template"]["spec"]["initContainers"][0]["restartPolice"] = "Always"
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    command = [sys.executable, "-m", "kubernetes_validate", "--strict", "-k", VERSIONS[-1], tmp_path / "wrong.json"]
    assert attempt(command).returncode != 0


def test_each_pod_is_the_member_of_its_name(documents: list[Document], pod: Document, config: Document) -> None:
    workload = one(documents, "StatefulSet", "registry")
    spec = workload["spec"]
    listed = {"name": workload["metadata"]["name"], "replicas": spec["replicas"], "service": spec["serviceName"]}
    assert config["cluster"]["statefulset"] == listed
    assert MEMBERS == [f"registry-{number}" for number in range(spec["replicas"])]
    assert PORTS["peers"] == 5443, "the port that is not written"
    [variable] = _shardlet(pod)["env"]
    assert variable == {"name": "SHARDLET_MEMBER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}


@pytest.mark.parametrize("member", MEMBERS)
def test_the_configuration_passes_the_check_of_every_member(
    documents: list[Document], pod: Document, example: Path, tmp_path: Path, member: str
) -> None:
    """Its absolute paths are those at which the pod mounts what they name."""
    text = one(documents, "ConfigMap", "registry-proxy")["data"]["proxy.yaml"]
    root = tmp_path / "etc"
    files = {"proxy": ["proxy.yaml"], "hash-key": ["hash.key"], "peer-tls": ["ca.crt", "tls.crt", "tls.key"]}
    for volume, names in files.items():
        mounted = root / _mount(_shardlet(pod), volume).removeprefix("/etc/")
        mounted.mkdir(parents=True)
        for name in names:
            if name == "proxy.yaml":
                (mounted / name).write_text(text.replace("/etc/shardlet/", f"{root}/shardlet/"))
            else:
                shutil.copy(example / name, mounted / name)
    program = _shardlet(pod)
    assert program["args"][:2] == ["run", "--config"]
    file = program["args"][2].replace("/etc", str(root))
    done = attempt([binary(), "check", "--strict", "--member", member, file])
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"local member {member} by --member" in done.stdout and done.stderr == ""


def test_the_replica_outlives_its_sidecar(pod: Document, config: Document) -> None:
    [replica] = pod["initContainers"]
    assert (replica["name"], replica["restartPolicy"]) == ("zot", "Always")
    [program] = pod["containers"]
    assert program["name"] == "shardlet"
    defaults = yaml.safe_load((Path(__file__).parents[2] / "proxy.yaml").read_text())["timeouts"]
    assert "timeouts" not in config, "the grace period goes by the defaults"
    end = sum(int(defaults[key].removesuffix("s")) for key in ("drain_delay", "drain"))
    assert pod["terminationGracePeriodSeconds"] >= end + 10


def test_ports_and_probes_are_those_of_the_configuration(
    documents: list[Document], pod: Document, config: Document
) -> None:
    program = _shardlet(pod)
    assert {port["name"]: port["containerPort"] for port in program["ports"]} == PORTS
    for name, port in PORTS.items():
        assert config["listen"][name]["address"] == f"0.0.0.0:{port}"
    assert program["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "admin"}
    assert program["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "admin"}
    peers = one(documents, "Service", "registry-peers")["spec"]
    assert (peers["clusterIP"], peers["publishNotReadyAddresses"]) == ("None", True)
    for service, port in (("registry", "clients"), ("registry-peers", "peers")):
        [only] = one(documents, "Service", service)["spec"]["ports"]
        assert (only["port"], only["targetPort"]) == (PORTS[port], port)


def test_the_replicas_port_is_closed(documents: list[Document], pod: Document, config: Document) -> None:
    zot = json.loads(_data(documents, "registry-zot")["config.json"])
    assert config["registry"]["address"] == f"{zot['http']['address']}:{zot['http']['port']}" == "127.0.0.1:5001"
    assert "ports" not in pod["initContainers"][0]
    policy = one(documents, "NetworkPolicy", "registry")["spec"]
    assert (policy["podSelector"], policy["policyTypes"]) == ({"matchLabels": POD}, ["Ingress"])
    allowed = {rule["ports"][0]["port"]: rule.get("from") for rule in policy["ingress"]}
    assert all(len(rule["ports"]) == 1 for rule in policy["ingress"])
    assert allowed.keys() == PORTS.keys()
    assert allowed["clients"] is None
    assert allowed["peers"] == [{"podSelector": {"matchLabels": POD}}], "members among themselves"
    assert allowed["admin"], "not for everybody"


def test_everything_selects_these_pods(documents: list[Document]) -> None:
    workload = one(documents, "StatefulSet", "registry")["spec"]
    assert workload["template"]["metadata"]["labels"] == POD
    assert workload["selector"] == {"matchLabels": POD}
    budget = one(documents, "PodDisruptionBudget", "registry")["spec"]
    assert budget == {"maxUnavailable": 1, "selector": {"matchLabels": POD}}
    for service in ("registry", "registry-peers"):
        assert one(documents, "Service", service)["spec"]["selector"] == POD


def test_containers_may_do_little(pod: Document) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    for container in (*pod["initContainers"], *pod["containers"]):
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}


def test_zot_keeps_its_hands_off_what_others_write(documents: list[Document], tmp_path: Path) -> None:
    text = _data(documents, "registry-zot")["config.json"]
    config = json.loads(text)
    assert config["storage"]["gc"] is False and config["storage"]["dedupe"] is False
    assert "cluster" not in config
    if not Zot.binary():
        pytest.skip("no zot binary to verify its configuration with")
    (tmp_path / "config.json").write_text(text)
    run([str(Zot.binary()), "verify", tmp_path / "config.json"])


def test_components_fit_the_base(example: Path) -> None:
    file = example / "kustomization.yaml"
    text = file.read_text()
    # The lines of the comment, as a user takes them in.
    asked = re.sub(r"^# (components:|  - )", r"\1", text, flags=re.MULTILINE)
    without = yaml.safe_load(asked)
    assert without["components"] == ["../cert-manager", "../podmonitor"]
    without["secretGenerator"] = [secret for secret in without["secretGenerator"] if "tls" not in secret["name"]]
    other = example.parent / "with-components"
    other.mkdir()
    shutil.copy(example / "hash.key", other)
    (other / "kustomization.yaml").write_text(yaml.safe_dump(without))
    documents = built(other)

    monitor = one(documents, "PodMonitor", "registry")["spec"]
    assert monitor["selector"] == {"matchLabels": POD}
    assert [endpoint["port"] for endpoint in monitor["podMetricsEndpoints"]] == ["admin"]
    certificate = one(documents, "Certificate", "registry-peer-tls")["spec"]
    assert certificate["dnsNames"] == MEMBERS
    assert {"server auth", "client auth"} <= set(certificate["usages"])
    assert certificate["secretName"] == "registry-peer-tls"
    signer = one(documents, "Issuer", certificate["issuerRef"]["name"])["spec"]["ca"]["secretName"]
    authority = one(documents, "Certificate", "registry-peer-ca")["spec"]
    assert authority["isCA"] is True and authority["secretName"] == signer
    assert one(documents, "Issuer", authority["issuerRef"]["name"])["spec"] == {"selfSigned": {}}


@pytest.fixture(scope="module")
def leased(example: Path) -> list[Document]:
    """The base with members by leases instead of by the StatefulSet's number."""
    other = example.parent / "by-leases"
    shutil.copytree(example, other)
    file = other / "kustomization.yaml"
    file.write_text(file.read_text() + "components: [../leased]\n")
    return built(other)


@pytest.mark.parametrize("version", VERSIONS)
def test_members_by_leases_may_hold_them_and_nothing_else(
    leased: list[Document], version: str, tmp_path: Path
) -> None:
    manifests = tmp_path / "manifests.yaml"
    manifests.write_text(yaml.safe_dump_all(leased))
    run([sys.executable, "-m", "kubernetes_validate", "--strict", "-k", version, manifests])
    [rule] = one(leased, "Role", "registry-leases")["rules"]
    assert (rule["apiGroups"], rule["resources"]) == (["coordination.k8s.io"], ["leases"])
    assert set(rule["verbs"]) == {"get", "list", "create", "update", "delete"}
    binding = one(leased, "RoleBinding", "registry-leases")
    [subject] = binding["subjects"]
    pod = one(leased, "StatefulSet", "registry")["spec"]["template"]["spec"]
    assert subject["name"] == pod["serviceAccountName"] and binding["roleRef"]["name"] == "registry-leases"
    # The token is for shardlet alone.
    assert pod["automountServiceAccountToken"] is False
    mounts = {
        container["name"]: [mount["mountPath"] for mount in container["volumeMounts"]]
        for container in pod["containers"] + pod["initContainers"]
    }
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert [name for name, paths in mounts.items() if account in paths] == ["shardlet"]


def test_the_configuration_of_members_by_leases_is_right(leased: list[Document], tmp_path: Path) -> None:
    workload = one(leased, "StatefulSet", "registry")["spec"]
    member, address = _shardlet(workload["template"]["spec"])["env"]
    # Kubernetes puts in what stands before it.
    assert (member["name"], address["name"]) == ("SHARDLET_MEMBER", "SHARDLET_ADDRESS")
    assert address["value"] == f"$(SHARDLET_MEMBER).{workload['serviceName']}:{PORTS['peers']}"
    config = tmp_path / "proxy.yaml"
    config.write_text(one(leased, "ConfigMap", "registry-proxy")["data"]["proxy.yaml"])
    at = address["value"].replace("$(SHARDLET_MEMBER)", "registry-7")
    command = [binary(), "check", "--elsewhere", "--member", "registry-7", config]
    told = run(command, env={"SHARDLET_ADDRESS": at})
    assert "leased mode" in told and "kubernetes leases registry in the pod's namespace" in told
    assert f"reached at {at}" in told


def _shardlet(pod: Document) -> Document:
    return next(container for container in pod["containers"] if container["name"] == "shardlet")


def _mount(container: Document, volume: str) -> str:
    return next(mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == volume)


def _data(documents: list[Document], prefix: str) -> dict[str, str]:
    return next(
        item["data"]
        for item in documents
        if item["kind"] == "ConfigMap" and item["metadata"]["name"].startswith(prefix)
    )
