"""S3 and DynamoDB for trying: moto, which answers both, with the bucket made and one request carried out at a time.

moto looks at If-Match and If-None-Match and then writes, and a second writer can come in between: both are told that they
were first. One at a time, conditional writes hold. All is kept in memory.

    store.py [HOST PORT]
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

BUCKET = "registry"
PLACE = ("0.0.0.0", "5000")

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class OneAtATime:
    """Runs an application under a lock. A body is read before, so that a slow client keeps nobody waiting."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        if length := int(environ.get("CONTENT_LENGTH") or 0):
            environ["wsgi.input"] = BytesIO(environ["wsgi.input"].read(length))
        with self._lock:
            return list(self._application(environ, start_response))


def serve(host: str, port: int, within: Callable[[Application], Application] = lambda application: application) -> None:
    """Until SIGTERM. What `within` puts around moto does one request at a time, too."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    application = OneAtATime(within(DomainDispatcherApplication(create_backend_app)))
    server = make_server(host, port, application, threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # The health check asks for the bucket, and the replicas wait for the health check.
    boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}").create_bucket(Bucket=BUCKET)
    # As the first process of a container it would not be ended by a signal that nobody handles.
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    host, port = sys.argv[1:] or PLACE
    serve(host, int(port))
