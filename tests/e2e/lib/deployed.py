"""What the folder deploy/ ships, as the tests take it: copied, so that nothing is written into the checkout."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from .process import run
from .tools import go_tool

REPOSITORY = Path(__file__).resolve().parents[3]
DEPLOY = REPOSITORY / "deploy"

Document = dict[str, Any]


def overlay(folder: Path, *names: str) -> Path:
    """A copy of the Kubernetes manifests whose overlay `example` has secrets for these members."""
    shutil.copytree(DEPLOY / "kubernetes", folder / "kubernetes")
    example = folder / "kubernetes" / "example"
    run(["bash", "-c", f"cd {example} && bash {DEPLOY / 'certificates.sh'} {' '.join(names)}"])
    return example


def built(folder: Path) -> list[Document]:
    """The manifests of an overlay, as `kubectl apply -k` sends them."""
    return list(yaml.safe_load_all(run([go_tool("kustomize"), "build", folder])))


def one(documents: list[Document], kind: str, name: str) -> Document:
    found = [item for item in documents if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, f"{len(found)} of {kind}/{name}"
    return found[0]
