"""Images made from nothing but a seed, as OCI layouts, and skopeo to carry them."""

from __future__ import annotations

import base64
import filecmp
import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from .client import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, digest_of
from .process import run

MIB = 1 << 20
TAG = "image"
COPY_TIMEOUT_SECONDS = 300.0
# skopeo wants a policy, and none is installed.
_ANY_IMAGE = ("--insecure-policy",)


@dataclass(frozen=True)
class Layout:
    """An OCI layout directory that holds one image."""

    path: Path

    @property
    def manifest(self) -> bytes:
        index = json.loads((self.path / "index.json").read_text())
        return self._blob(index["manifests"][0]["digest"]).read_bytes()

    @property
    def layer_count(self) -> int:
        return len(json.loads(self.manifest)["layers"])

    def assert_same(self, other: Layout) -> None:
        """Byte-identical: the manifest, and every blob that it names."""
        assert digest_of(self.manifest) == digest_of(other.manifest)
        manifest = json.loads(self.manifest)
        for part in (manifest["config"], *manifest["layers"]):
            mine, theirs = self._blob(part["digest"]), other._blob(part["digest"])
            assert filecmp.cmp(mine, theirs, shallow=False), f"{mine} and {theirs} differ"

    @property
    def config_digest(self) -> str:
        return json.loads(self.manifest)["config"]["digest"]

    def assert_same_files(self, manifest: bytes, layers: Sequence[bytes]) -> None:
        """The same image, though its layers may be packed by another gzip."""
        assert json.loads(manifest)["config"]["digest"] == self.config_digest
        config = json.loads(self._blob(self.config_digest).read_text())
        assert [digest_of(gzip.decompress(layer)) for layer in layers] == config["rootfs"]["diff_ids"]

    def _blob(self, digest: str) -> Path:
        return self.path / "blobs" / digest.replace(":", "/")


def build(path: Path, seed: int, layer_bytes: Sequence[int], *, shrinks: bool = False) -> Layout:
    """An image with one gzip layer of about so many bytes each. The same seed gives the same bytes.

    One that `shrinks` is packed as real layers are, and unpacked in small steps: by a quarter less bytes than named.
    """
    blobs = path / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    noise = random.Random(seed)
    layers, diff_ids = [], []
    for number, size in enumerate(layer_bytes):
        layer, diff_id = _layer(blobs, f"layer-{number}.bin", noise, size, shrinks)
        layers.append(layer)
        diff_ids.append(diff_id)
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _store(blobs, OCI_CONFIG, config),
        "layers": layers,
    }
    entry = _store(blobs, OCI_MANIFEST, manifest) | {"annotations": {"org.opencontainers.image.ref.name": TAG}}
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (path / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    return Layout(path)


def push(layout: Layout, reference: str) -> None:
    """`reference` is host:port/name:tag."""
    _skopeo(*pushing(layout, reference))


def pull(reference: str, path: Path) -> Layout:
    _skopeo(*pulling(reference, path))
    return Layout(path)


def pushing(layout: Layout, reference: str) -> list[str]:
    """skopeo's words for it, for those who have to start it somewhere else."""
    here = f"oci:{layout.path}:{TAG}"
    return [*_ANY_IMAGE, "copy", "--preserve-digests", "--dest-tls-verify=false", here, f"docker://{reference}"]


def pulling(reference: str, path: Path) -> list[str]:
    here = f"oci:{path}:{TAG}"
    return [*_ANY_IMAGE, "copy", "--preserve-digests", "--src-tls-verify=false", f"docker://{reference}", here]


def list_tags(repository: str) -> list[str]:
    return sorted(json.loads(_skopeo(*_ANY_IMAGE, "list-tags", "--tls-verify=false", f"docker://{repository}"))["Tags"])


def delete(reference: str) -> None:
    """skopeo asks for the tag's digest and deletes by that."""
    _skopeo(*_ANY_IMAGE, "delete", "--tls-verify=false", f"docker://{reference}")


def _skopeo(*words: str) -> str:
    return run(["skopeo", *words], timeout=COPY_TIMEOUT_SECONDS)


def _layer(blobs: Path, name: str, noise: random.Random, size: int, shrinks: bool) -> tuple[dict[str, Any], str]:
    """Writes a tar of one file, of noise in a gzip that stores, which is quick; or of letters in one that does not."""
    unfinished = blobs / name
    with unfinished.open("wb") as file:
        outer = _Hashing(file)
        with gzip.GzipFile(fileobj=outer, mode="wb", compresslevel=int(shrinks), mtime=0, filename="") as packed:
            inner = _Hashing(packed)
            _write_tar(inner, name, size, partial(_letters, noise) if shrinks else noise.randbytes)
    unfinished.rename(blobs / outer.hexdigest)
    layer = {"mediaType": OCI_LAYER, "digest": f"sha256:{outer.hexdigest}", "size": outer.written}
    return layer, f"sha256:{inner.hexdigest}"


def _write_tar(to: _Hashing, name: str, size: int, filling: Callable[[int], bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = size
    to.write(entry.tobuf(tarfile.USTAR_FORMAT))
    for start in range(0, size, MIB):
        to.write(filling(min(MIB, size - start)))
    to.write(bytes(-size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE))


def _letters(noise: random.Random, size: int) -> bytes:
    return base64.b64encode(noise.randbytes(size))[:size]


class _Hashing(io.RawIOBase):
    """Passes on what is written, and keeps its digest and length."""

    def __init__(self, to: BinaryIO | gzip.GzipFile) -> None:
        self._to = to
        self._hash = hashlib.sha256()
        self.written = 0

    @property
    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def write(self, data: Any) -> int:
        self._hash.update(data)
        self._to.write(data)
        self.written += len(data)
        return len(data)


def _store(blobs: Path, media_type: str, document: dict[str, Any]) -> dict[str, Any]:
    data = json.dumps(document, separators=(",", ":")).encode()
    digest = digest_of(data)
    (blobs / digest.removeprefix("sha256:")).write_bytes(data)
    return {"mediaType": media_type, "digest": digest, "size": len(data)}
