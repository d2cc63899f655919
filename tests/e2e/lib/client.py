"""A client of the distribution API that can send every request of one push to another sidecar."""

from __future__ import annotations

import hashlib
import itertools
import json
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCTETS = {"Content-Type": "application/octet-stream"}
TIMEOUT_SECONDS = 120.0


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Registry:
    """Speaks to `bases` in turn: each request goes to the next one, whatever the Location named.

    With `reconnect`, each request also makes a connection of its own.
    """

    def __init__(
        self,
        bases: Sequence[str],
        ca: Path | None = None,
        *,
        http2: bool = False,
        reconnect: bool = False,
        login: tuple[str, str] | None = None,
    ) -> None:
        context = ssl.create_default_context(cafile=str(ca)) if ca else False
        self._turn = itertools.cycle(httpx.URL(base) for base in bases)
        limits = httpx.Limits(max_keepalive_connections=0) if reconnect else httpx.Limits()
        self._http = httpx.Client(
            verify=context,
            http1=not http2,
            http2=http2,
            auth=login,
            timeout=TIMEOUT_SECONDS,
            limits=limits,
            trust_env=False,
        )

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def send(self, method: str, location: str, **request: Any) -> httpx.Response:
        """`location` may be absolute: its scheme and authority are replaced by those of the sidecar whose turn it is."""
        target = httpx.URL(location)
        base = next(self._turn)
        return self._http.request(method, base.copy_with(raw_path=target.raw_path), **request)

    def expect(self, status: int, method: str, location: str, **request: Any) -> httpx.Response:
        answer = self.send(method, location, **request)
        assert answer.status_code == status, f"{method} {answer.url}: {answer.status_code} {answer.text[:500]}"
        return answer

    def start_upload(self, repository: str) -> str:
        """Returns the Location to continue at."""
        return self.expect(202, "POST", f"/v2/{repository}/blobs/uploads/").headers["location"]

    def push_blob(self, repository: str, data: bytes, chunk: int | None = None) -> str:
        """Uploads in PATCHes of `chunk` bytes and a closing PUT; with no `chunk`, in the PUT alone."""
        location = self.start_upload(repository)
        if chunk:
            for start in range(0, len(data), chunk):
                part = data[start : start + chunk]
                span = {"Content-Range": f"{start}-{start + len(part) - 1}"}
                answer = self.expect(202, "PATCH", location, content=part, headers=OCTETS | span)
                location = answer.headers["location"]
        digest = digest_of(data)
        rest = b"" if chunk else data
        closing = httpx.URL(location).copy_merge_params({"digest": digest})
        self.expect(201, "PUT", str(closing), content=rest, headers=OCTETS)
        return digest

    def put_manifest(self, repository: str, reference: str, manifest: bytes) -> httpx.Response:
        """Whatever the answer."""
        target = f"/v2/{repository}/manifests/{reference}"
        return self.send("PUT", target, content=manifest, headers={"Content-Type": OCI_MANIFEST})

    def push_manifest(self, repository: str, reference: str, manifest: bytes) -> str:
        answer = self.put_manifest(repository, reference, manifest)
        assert answer.status_code == 201, f"{answer.url}: {answer.status_code} {answer.text[:500]}"
        return digest_of(manifest)

    def push_image(self, repository: str, tag: str, layers: Sequence[bytes]) -> bytes:
        """Pushes blobs, then a manifest that names them; returns the manifest."""
        config = json.dumps({"architecture": "amd64", "os": "linux", "tag": tag}).encode()
        for blob in (config, *layers):
            self.push_blob(repository, blob)
        manifest = manifest_of(config, layers)
        self.push_manifest(repository, tag, manifest)
        return manifest

    def push_referrer(self, repository: str, subject: bytes, layer: bytes) -> str:
        """Pushes an artifact that refers to the manifest `subject`; returns the artifact's digest."""
        config = b"{}"
        for blob in (config, layer):
            self.push_blob(repository, blob)
        artifact = manifest_of(
            config, [layer], subject=descriptor(OCI_MANIFEST, subject), artifactType="test/signature"
        )
        return self.push_manifest(repository, digest_of(artifact), artifact)

    def manifest(self, repository: str, reference: str, method: str = "GET") -> httpx.Response:
        return self.send(method, f"/v2/{repository}/manifests/{reference}", headers={"Accept": OCI_MANIFEST})

    def blob(
        self, repository: str, digest: str, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        return self.send(method, f"/v2/{repository}/blobs/{digest}", headers=headers)

    def tags(self, repository: str) -> list[str]:
        return sorted(self.expect(200, "GET", f"/v2/{repository}/tags/list").json()["tags"] or [])


def manifest_of(config: bytes, layers: Sequence[bytes], **more: Any) -> bytes:
    """An OCI image manifest as canonical bytes; `more` are further members of it, such as `subject`."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, config),
        "layers": [descriptor(OCI_LAYER, layer) for layer in layers],
    }
    return json.dumps(manifest | more, separators=(",", ":")).encode()


def descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}
