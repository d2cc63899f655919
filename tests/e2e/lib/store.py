"""The storage that the replicas share: moto's S3 (and DynamoDB, for zot), or one directory where speed counts."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config

from .deployed import REPOSITORY
from .process import Ports, Process

ACCESS_KEY = "test"
SECRET_KEY = "testtest"
REGION = "us-east-1"
START_SECONDS = 60.0
STAND_IN = REPOSITORY / "compose" / "store.py"


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
    """The stand-in for S3 and DynamoDB, the same as in compose: one process for the whole run."""

    def __init__(self, ports: Ports, directory: Path, program: Sequence[str | Path] = (STAND_IN,)) -> None:
        """`program`: what Python runs as the stand-in, with a host and a port."""
        port = ports.take()
        self.endpoint = f"http://127.0.0.1:{port}"
        self.process = Process(
            "moto",
            [sys.executable, *program, "127.0.0.1", str(port)],
            directory / "moto.log",
            {
                "AWS_ACCESS_KEY_ID": ACCESS_KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
                "AWS_DEFAULT_REGION": REGION,
                "PYTHONPATH": ":".join(sys.path),
            },
        )
        self.process.wait_ready(self._answers, START_SECONDS)

    def bucket(self, name: str) -> Bucket:
        self.client("s3").create_bucket(Bucket=name)
        return Bucket(self.endpoint, name)

    def client(self, service: str):  # noqa: ANN201 (boto3 has no types)
        """Asks once: a request that is sent again hides what became of the first."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(retries={"total_max_attempts": 1, "mode": "standard"}),
        )

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/moto-api/", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False
