"""What a stand-in for a store of leases has carried out, in a file that tests read (`lease_store.py`)."""

from __future__ import annotations

import json
import os
import time


class Puts:
    def __init__(self, file: str) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self, key: str, value: bytes) -> None:
        """Before anything else is carried out."""
        # Of what a store proves itself with, nothing is said later.
        if key == "view" or key.startswith("lease/"):
            line = json.dumps({"at": time.monotonic(), "key": key, "value": json.loads(value)})
            os.write(self._file, f"{line}\n".encode())
