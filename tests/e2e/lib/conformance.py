"""The OCI distribution-spec conformance suite, run as its authors ship it, and its results test by test."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from .process import attempt
from .tools import Entry, go_tool

TIMEOUT_SECONDS = 500.0
# Passed; or something failed, which is no matter here.
RAN = (0, 1)

# Test → how it ended; more than once where the suite has a name for several of them, whose order changes.
Results = Mapping[str, list[str]]


def run(entry: Entry, repositories: tuple[str, str], directory: Path) -> Results:
    """Against whatever is at `entry`; the suite mounts blobs of the first repository into the second."""
    first, second = repositories
    environment = {
        "OCI_REGISTRY": entry.host,
        "OCI_TLS": "enabled" if entry.ca else "disabled",
        "OCI_REPO1": first,
        "OCI_REPO2": second,
        "OCI_RESULTS_DIR": str(directory),
        "OCI_CONFIGURATION": "/dev/null",
    } | ({"SSL_CERT_FILE": str(entry.ca)} if entry.ca else {})
    done = attempt([go_tool("conformance")], TIMEOUT_SECONDS, environment)
    last_words = f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert done.returncode in RAN, f"the suite ended with {done.returncode}\n{last_words}"
    report = directory / "junit.xml"
    assert report.exists(), f"the suite left no report\n{last_words}"
    results: defaultdict[str, list[str]] = defaultdict(list)
    for case in ElementTree.parse(report).iter("testcase"):
        results[case.attrib["name"]].append(case.attrib["status"])
    return {name: sorted(statuses) for name, statuses in results.items()}


def counted(results: Results) -> str:
    statuses = [status for of_one in results.values() for status in of_one]
    return ", ".join(f"{statuses.count(status)} {status}" for status in sorted(set(statuses)))


def differences(one: Results, other: Results) -> list[str]:
    """A line for each test that did not end the same."""
    return [
        f"{name}: {one.get(name, 'not run')} and {other.get(name, 'not run')}"
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    ]
