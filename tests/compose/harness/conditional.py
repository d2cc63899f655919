"""Started beside the store: how many races of conditional writes had exactly one winner, and whether parts make a whole."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.exceptions import ClientError

BUCKET = "registry"
PART_BYTES = 5 << 20
REFUSED = 412


def client() -> Any:  # noqa: ANN401 (boto3 has no types)
    return boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:5000",
        region_name="us-east-1",
        aws_access_key_id="compose",
        aws_secret_access_key="compose-secret",
    )


def put(one: Any, key: str, body: bytes, condition: dict[str, str], start: threading.Barrier) -> bool:  # noqa: ANN401
    """Whether it was told that it has written."""
    start.wait()
    try:
        one.put_object(Bucket=BUCKET, Key=key, Body=body, **condition)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != REFUSED:
            raise
        return False
    return True


def main(races: int, writers: int) -> None:
    clients = [client() for _ in range(writers)]
    decided = {"If-None-Match": 0, "If-Match": 0}
    start = threading.Barrier(writers)
    with ThreadPoolExecutor(writers) as pool:

        def winners(key: str, condition: dict[str, str]) -> int:
            # All different from each other and from what is there: the same bytes would have the same ETag.
            bodies = [f"{condition} {number}".encode() for number in range(writers)]
            return sum(pool.map(lambda one, body: put(one, key, body, condition, start), clients, bodies))

        for number in range(races):
            key = f"race/{number}"
            decided["If-None-Match"] += winners(key, {"IfNoneMatch": "*"}) == 1
            tag = clients[0].head_object(Bucket=BUCKET, Key=key)["ETag"]
            decided["If-Match"] += winners(key, {"IfMatch": tag}) == 1
    print(*(f"{name} {count}" for name, count in decided.items()), "multipart", multipart(clients[0]))


def multipart(one: Any) -> str:  # noqa: ANN401
    parts = [b"a" * PART_BYTES, b"b"]
    upload = one.create_multipart_upload(Bucket=BUCKET, Key="parts")["UploadId"]
    listed = []
    for number, part in enumerate(parts, start=1):
        answer = one.upload_part(Bucket=BUCKET, Key="parts", UploadId=upload, PartNumber=number, Body=part)
        listed.append({"PartNumber": number, "ETag": answer["ETag"]})
    one.complete_multipart_upload(Bucket=BUCKET, Key="parts", UploadId=upload, MultipartUpload={"Parts": listed})
    whole = one.get_object(Bucket=BUCKET, Key="parts")["Body"].read()
    return "ok" if whole == b"".join(parts) else "BROKEN"


main(int(sys.argv[1]), int(sys.argv[2]))
