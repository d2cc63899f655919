"""The stand-ins for S3 and DynamoDB hold their conditions under concurrent writers: members are proven on them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError
from lib.store import Moto

WRITERS = 20
RACES = 60
REFUSED = {"PreconditionFailed", "ConditionalCheckFailedException", "ConditionalRequestConflict"}
TABLE = "race"

# Writes an item if it has this tag; none: if it is not there.
Put = Callable[[str, str, str | None], None]
Tag = Callable[[str], str]


@pytest.mark.parametrize("service", ["s3", "dynamodb"])
def test_one_of_many_writers_wins(moto: Moto, service: str) -> None:
    places = [(_bucket if service == "s3" else _table)(moto, first=at == 0) for at in range(WRITERS)]
    tag = places[0][1]
    start = threading.Barrier(WRITERS)
    winners: dict[str, Counter[int]] = {"create": Counter(), "replace": Counter()}
    with ThreadPoolExecutor(WRITERS) as pool:

        def won(put: Put, item: str, value: str, expected: str | None) -> bool:
            start.wait(timeout=30)
            try:
                put(item, value, expected)
            except ClientError as error:
                assert error.response["Error"]["Code"] in REFUSED, error
                return False
            return True

        for race in range(RACES):
            item, expected = f"item-{race}", None
            for step, counted in winners.items():
                tries = [pool.submit(won, put, item, f"{step} {at}", expected) for at, (put, _) in enumerate(places)]
                counted[sum(tried.result() for tried in tries)] += 1
                expected = tag(item)
    assert winners == {"create": Counter({1: RACES}), "replace": Counter({1: RACES})}


def _bucket(moto: Moto, *, first: bool) -> tuple[Put, Tag]:
    s3 = moto.client("s3")
    if first:
        s3.create_bucket(Bucket=TABLE)

    def put(item: str, value: str, expected: str | None) -> None:
        condition = {"IfMatch": expected} if expected else {"IfNoneMatch": "*"}
        s3.put_object(Bucket=TABLE, Key=item, Body=value.encode(), **condition)

    return put, lambda item: s3.head_object(Bucket=TABLE, Key=item)["ETag"]


def _table(moto: Moto, *, first: bool) -> tuple[Put, Tag]:
    dynamodb = moto.client("dynamodb")
    if first:
        dynamodb.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "item", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "item", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def put(item: str, value: str, expected: str | None) -> None:
        condition = {"ConditionExpression": "attribute_not_exists(tag)"}
        if expected:
            condition = {
                "ConditionExpression": "tag = :there",
                "ExpressionAttributeValues": {":there": {"S": expected}},
            }
        dynamodb.put_item(TableName=TABLE, Item={"item": {"S": item}, "tag": {"S": value}}, **condition)

    def tag(item: str) -> str:
        got = dynamodb.get_item(TableName=TABLE, Key={"item": {"S": item}}, ConsistentRead=True)
        return got["Item"]["tag"]["S"]

    return put, tag
