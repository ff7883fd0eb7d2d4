# SPDX-License-Identifier: Apache-2.0
"""QEMU's machine protocol over a Unix socket: a command, its answer."""
import json
import socket
import time
from pathlib import Path


class QmpError(AssertionError):
    """QEMU refused a command."""


class Qmp:
    def __init__(self, sock: socket.socket):
        """A connected socket, which is taken over."""
        self._file = sock.makefile("rwb")
        sock.close()  # the file holds it
        self._read()  # QEMU's greeting
        self("qmp_capabilities")

    def close(self) -> None:
        self._file.close()

    def __call__(self, command: str, **arguments):
        """Runs the command; returns what it returns."""
        words = {name.replace("_", "-"): value for name, value in arguments.items()}
        self._file.write(json.dumps({"execute": command, "arguments": words}).encode() + b"\n")
        self._file.flush()
        while True:
            answer = self._read()
            if "error" in answer:
                raise QmpError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def _read(self) -> dict:
        line = self._file.readline()
        if not line:
            raise QmpError("QEMU has closed its control socket")
        return json.loads(line)

    def save(self, path: Path, timeout: float = 60) -> None:
        """Stops the machine and writes its whole state to a file; it stays stopped."""
        self("stop")
        self("migrate-set-parameters", max_bandwidth=1 << 34)
        self("migrate", uri=f"exec:cat >'{path}'")
        deadline = time.monotonic() + timeout
        while (status := self("query-migrate")["status"]) != "completed":
            assert status not in ("failed", "cancelled") and time.monotonic() < deadline, f"saving: {status}"
            time.sleep(0.02)
