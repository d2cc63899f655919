"""A stand-in for the API of Kubernetes, as far as leases need it: Lease objects of one namespace, which hold their conditions.

An object is replaced only by who names the resourceVersion that it has, and each change gives it another, from one number
for all objects. It looks and writes without giving way in between.

Run as a program it is that API: `lease_kubernetes HOST PORT PUTS CERT KEY NAMESPACE TOKEN`.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import ssl
import sys
import urllib.parse
from typing import Any

from .lease_puts import Puts
from .small_http import LINE_LIMIT, response, serve

PATH = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"
KEY, VALUE = "shardlet.io/key", "shardlet.io/value"
Object = dict[str, Any]


class Api:
    def __init__(self, puts: Puts, namespace: str, token: str) -> None:
        self._puts, self._path, self._token = puts, PATH.format(namespace), token
        self._objects: dict[str, Object] = {}
        self._versions = itertools.count(1)

    async def answer(self, method: str, target: str, fields: dict[str, str], body: bytes) -> bytes:
        place = urllib.parse.urlsplit(target)
        if fields.get("authorization") != f"Bearer {self._token}":
            return _failed(401, "Unauthorized")
        below, _, name = place.path.removeprefix(self._path).partition("/")
        if not place.path.startswith(self._path) or below:
            return response(404, b"404 page not found")
        if not name:
            return self._create(json.loads(body)) if method == "POST" else self._list(place.query)
        if name not in self._objects:
            return _failed(404, "NotFound")
        if method == "PUT":
            return self._replace(name, json.loads(body))
        if method == "DELETE":
            return _said(200, self._objects.pop(name))
        return _said(200, self._objects[name])

    def _create(self, new: Object) -> bytes:
        name = new["metadata"]["name"]
        if name in self._objects:
            return _failed(409, "AlreadyExists")
        if new["metadata"].get("resourceVersion"):
            return _failed(400, "BadRequest")
        return self._keep(name, new, 201)

    def _replace(self, name: str, new: Object) -> bytes:
        there = self._objects[name]
        version = new["metadata"].get("resourceVersion")
        if not version:
            return _failed(422, "Invalid")
        if version != there["metadata"]["resourceVersion"]:
            return _failed(409, "Conflict")
        # What changes nothing is no writing: it has the version that it had.
        return _said(200, there) if new == there else self._keep(name, new, 200)

    def _keep(self, name: str, new: Object, status: int) -> bytes:
        new["metadata"]["resourceVersion"] = str(next(self._versions))
        self._objects[name] = new
        annotations = new["metadata"]["annotations"]
        self._puts.note(annotations[KEY], base64.b64decode(annotations[VALUE]))
        return _said(status, new)

    def _list(self, query: str) -> bytes:
        asked = dict(urllib.parse.parse_qsl(query))
        label, _, value = asked.get("labelSelector", "").partition("=")
        begin, limit = int(asked.get("continue", "0")), int(asked.get("limit", "500"))
        found = [one for one in self._objects.values() if not label or one["metadata"]["labels"].get(label) == value]
        more = {"continue": str(begin + limit)} if begin + limit < len(found) else {}
        return _said(200, {"kind": "LeaseList", "metadata": more, "items": found[begin : begin + limit]})


def _said(status: int, what: Object) -> bytes:
    return response(status, json.dumps(what).encode(), **{"Content-Type": "application/json"})


def _failed(status: int, reason: str) -> bytes:
    return _said(status, {"kind": "Status", "status": "Failure", "reason": reason, "code": status})


async def main(host: str, port: str, puts: str, cert: str, key: str, namespace: str, token: str) -> None:
    api = Api(Puts(puts), namespace, token)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    talk = lambda reader, writer: serve(reader, writer, api.answer)  # noqa: E731
    listener = await asyncio.start_server(talk, host, int(port), limit=LINE_LIMIT, ssl=context)
    await listener.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
