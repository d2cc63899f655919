"""The storage that the replicas share: moto's S3 (and DynamoDB, for zot), or one directory where speed counts."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import boto3

from .process import Ports, Process

ACCESS_KEY = "test"
SECRET_KEY = "testtest"
REGION = "us-east-1"
START_SECONDS = 60.0


@dataclass(frozen=True)
class Bucket:
    """One bucket behind one S3 endpoint, which answers DynamoDB as well."""

    endpoint: str
    name: str


@dataclass(frozen=True)
class Directory:
    """A directory that all replicas of a cluster use; many times faster than the stand-in for S3."""

    path: Path


Store = Bucket | Directory


class Moto:
    """The stand-in for S3 and DynamoDB: one process for the whole run."""

    def __init__(self, ports: Ports, directory: Path) -> None:
        port = ports.take()
        self.endpoint = f"http://127.0.0.1:{port}"
        serve = "from moto.server import main; main()"
        self.process = Process(
            "moto", [sys.executable, "-c", serve, "-H", "127.0.0.1", "-p", str(port)], directory / "moto.log"
        )
        self.process.wait_ready(self._answers, START_SECONDS)

    def bucket(self, name: str) -> Bucket:
        self._client().create_bucket(Bucket=name)
        return Bucket(self.endpoint, name)

    def _client(self):  # noqa: ANN202 (boto3 has no types)
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/moto-api/", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False
