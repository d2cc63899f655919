"""What stands in for a replica: fast enough that the proxy before it is what is measured."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import load
from processes import Process, free_ports

WORKERS = 2
LAYERS = 3


class Stub:
    """nginx: a fixed answer to every small GET, and one blob from the page cache."""

    def __init__(self, directory: Path, blob_bytes: int) -> None:
        directory.mkdir()
        (directory / "blob").write_bytes(os.urandom(1 << 20) * (blob_bytes >> 20))
        (self.port,) = free_ports(1)
        config = directory / "nginx.conf"
        config.write_text(
            NGINX_HEAD.format(workers=WORKERS, user=nginx_user())
            + f"""
  server {{
    listen 127.0.0.1:{self.port} backlog=4096;
    root {directory};
    location ~ /blobs/sha256: {{ rewrite ^ /blob break; sendfile on; tcp_nopush on; }}
    location / {{ default_type application/vnd.oci.image.manifest.v1+json; return 200 '{manifest()}'; }}
  }}
}}
"""
        )
        self.process = Process(["nginx", "-p", directory, "-e", "stderr", "-c", config], directory / "log")
        self.process.wait_until(lambda: load.answers(self.port))


class Sink:
    """Reads bodies and throws them away."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        (self.port,) = free_ports(1)
        program = Path(__file__).with_name("sink.py")
        self.process = Process([sys.executable, program, str(self.port)], directory / "log")
        self.process.wait_until(lambda: load.answers(self.port))


# Shared with nginx as a proxy. The temporary paths must be writable, and the default ones need not be.
NGINX_HEAD = """
daemon off; {user} pid nginx.pid; worker_processes {workers}; worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; client_max_body_size 0; tcp_nodelay on;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
"""


def nginx_user() -> str:
    """Workers of a master that is root would become somebody who cannot read the temporary directory."""
    return "user root;" if os.geteuid() == 0 else ""


def manifest() -> str:
    """About 700 bytes, as the manifest of a small image has."""
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": f"sha256:{'0' * 64}", "size": 1}
    return json.dumps({"schemaVersion": 2, "config": layer, "layers": [layer] * LAYERS}, separators=(",", ":"))
