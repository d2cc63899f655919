"""compose's stand-in for DynamoDB, which notes what is put into it: `lease_dynamodb PUTS HOST PORT`."""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .lease_puts import Puts

COMPOSE = Path(__file__).resolve().parents[3] / "compose"
PUT = "DynamoDB_20120810.PutItem"
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Noting:
    """Around an application that does one request at a time."""

    def __init__(self, application: Application, puts: Puts) -> None:
        self._application, self._puts = application, puts

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("HTTP_X_AMZ_TARGET") != PUT:
            return self._application(environ, start_response)
        body = environ["wsgi.input"].read()
        environ["wsgi.input"] = io.BytesIO(body)

        def start(status: str, *more: Any) -> Any:  # noqa: ANN401 (WSGI has no types)
            if status.startswith("200"):
                item = json.loads(body)["Item"]
                self._puts.note(item["item"]["S"], base64.b64decode(item["body"]["B"]))
            return start_response(status, *more)

        return self._application(environ, start)


def main(file: str, host: str, port: str) -> None:
    sys.path.insert(0, str(COMPOSE))
    import store  # noqa: PLC0415 (found there alone)

    puts = Puts(file)
    store.serve(host, int(port), lambda application: Noting(application, puts))


if __name__ == "__main__":
    main(*sys.argv[1:])
