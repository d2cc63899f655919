#!/usr/bin/env python3
"""Writes golden.json: what rendezvous placement v1, view fingerprints v1 and sticky tokens v1 must be.

A second implementation, from the documents of src/shard and the SipHash paper, with Python's own hmac and decimal.
It shares no code and no table with the Rust one. Run it only to add cases: a line of golden.json that changes means
that members of two releases disagree about owners.

    python3 tests/data/golden.py > tests/data/golden.json
"""

import hashlib
import hmac
import json
import re
from decimal import Decimal, getcontext
from fractions import Fraction
from math import floor, log2

getcontext().prec = 80
MASK = (1 << 64) - 1


def siphash24(key: bytes, message: bytes) -> int:
    k0, k1 = (int.from_bytes(key[i : i + 8], "little") for i in (0, 8))
    v = [
        k0 ^ 0x736F6D6570736575,
        k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261,
        k1 ^ 0x7465646279746573,
    ]

    def rotate(x, bits):
        return ((x << bits) | (x >> (64 - bits))) & MASK

    def rounds(count):
        for _ in range(count):
            v[0] = (v[0] + v[1]) & MASK
            v[1] = rotate(v[1], 13) ^ v[0]
            v[0] = rotate(v[0], 32)
            v[2] = (v[2] + v[3]) & MASK
            v[3] = rotate(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & MASK
            v[3] = rotate(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & MASK
            v[1] = rotate(v[1], 17) ^ v[2]
            v[2] = rotate(v[2], 32)

    padded = message + b"\0" * (7 - len(message) % 8) + bytes([len(message) & 0xFF])
    for i in range(0, len(padded), 8):
        word = int.from_bytes(padded[i : i + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def u64(number: int) -> bytes:
    return number.to_bytes(8, "little")


def text(value: bytes) -> bytes:
    return u64(len(value)) + value


def log2_of_step(step: int) -> int:
    if step == 256:
        return 1 << 40
    return int((1 + Decimal(step) / 256).ln() / Decimal(2).ln() * (1 << 40))


STEPS = [log2_of_step(step) for step in range(257)]


def cost(score: int) -> int:
    """-log2((score + 1) / 2^64) in units of 2^-40, by linear interpolation between 256ths, rounded as documented."""
    value = score + 1
    exponent = value.bit_length() - 1
    position = Fraction(value - (1 << exponent), 1 << exponent) * 256
    step = floor(position)
    if step == 256 or value == 1 << 64:
        return 0
    between = floor((STEPS[step + 1] - STEPS[step]) * (position - step))
    result = ((64 - exponent) << 40) - STEPS[step] - between
    exact = (64 - log2(value)) * 2**40
    assert abs(result - exact) < 3e-6 * 2**40, (score, result, exact)
    return result


def scores(key, members, repository):
    hashed = siphash24(key, b"shlt1rep" + text(repository.encode()))
    result = []
    for member in members:
        message = b"shlt1mem" + text(member["id"].encode())
        message += b"\0" * (-len(message) % 8) + u64(hashed)[:7]
        result.append(siphash24(key, message))
    return result


def owner(members, member_scores):
    def rank(index):
        score, member = member_scores[index], members[index]
        return (Fraction(cost(score), member["weight"]), -score, member["id"])

    return min(range(len(members)), key=rank)


def fingerprint(key, placement, members, pins):
    message = text(b"shardlet view fingerprint v1") + text(placement.encode()) + u64(1)
    message += u64(len(members))
    for member in members:
        message += text(member["id"].encode()) + u64(member["weight"])
    message += u64(len(pins))
    for pin in sorted(pins, key=lambda pin: pin["prefix"].encode()):
        message += text(pin["prefix"].encode()) + u64(pin["member"])
    return hmac.new(key, message, hashlib.sha256).digest()[:16].hex()


def sticky(key, member):
    message = text(b"shardlet sticky token v1") + text(member["id"].encode())
    return hmac.new(key, message, hashlib.sha256).digest()[:8].hex()


REPOSITORIES = [
    "a", "zot-test", "library/alpine", "library/ubuntu", "my-org/my_app.web", "team--x/y__z",
    "manifests/blobs/tags", "repo1", "repo10", "a/b/c/d/e/f", "1234567", "12345678", "123456789", "x" * 255,
] + [f"load/{n}" for n in range(20)]  # fmt: skip

CLUSTERS = [
    ("loremipsumdolors", [("zot-1", 1)], []),
    ("loremipsumdolors", [("zot-1", 1), ("zot-2", 1), ("zot-3", 1)], []),
    ("loremipsumdolors", [("zot-3", 1), ("zot-1", 1), ("zot-2", 1)], [("repo1", 0), ("library/alpine", 2)]),
    ("0123456789abcdef", [("a", 1), ("b.example", 7), ("12345678.c", 2), ("d" * 63, 1000), ("e-1", 999)], []),
    ("\0\x01\x7f 0000000000 ~", [(f"m-{n:0{n + 1}}", 1 + n % 3) for n in range(20)], [("a", 19)]),
]


def cluster(key, member_list, pin_list):
    key = key.encode("latin-1")[:16]
    members = [{"id": name, "weight": weight} for name, weight in member_list]
    pins = [{"prefix": prefix, "member": member} for prefix, member in pin_list]
    repositories = []
    for name in REPOSITORIES:
        member_scores = scores(key, members, name)
        repositories.append(
            {
                "name": name,
                "scores": [f"{score:016x}" for score in member_scores],
                "placed": owner(members, member_scores),
            }
        )
    return {
        "hash_key": key.hex(),
        "members": members,
        "pins": pins,
        "fingerprints": {kind: fingerprint(key, kind, members, pins) for kind in ("rendezvous", "zot")},
        "sticky": [sticky(key, member) for member in members],
        "repositories": repositories,
    }


def main():
    # The paper's own vector (appendix A) first: a wrong SipHash here would make a wrong file.
    assert siphash24(bytes(range(16)), bytes(range(15))) == 0xA129CA6149BE45E5
    edges = [0, 1, 2, (1 << 32) - 1, (1 << 63) - 1, 1 << 63, MASK - 1, MASK] + [
        siphash24(bytes(16), u64(n)) >> (n % 64) for n in range(64)
    ]
    golden = {
        "costs": [{"score": f"{score:016x}", "cost": cost(score)} for score in edges],
        "clusters": [cluster(*given) for given in CLUSTERS],
    }
    # One line for each cost, member and repository, so that a changed line is seen.
    print(re.sub(r'(\{"(?:score|id|name|hash_key|prefix)")', r"\n\1", json.dumps(golden)))


main()
