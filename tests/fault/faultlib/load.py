# SPDX-License-Identifier: Apache-2.0
"""The clients of one guest: a fault-load process (load/load.h)."""
import json
import select
import time
from typing import NamedTuple

from harness import Endpoint, Process, ProcessFailed, Workspace, program


class Account(NamedTuple):
    """What fault-load answers."""
    behind: int
    pause_ms: int
    sessions: int
    published: int
    confirmed: int
    consumed: int
    lost: int
    duplicated: int
    corrupt: int
    disconnects: int


def now_ms() -> int:
    """The clock of fault-load."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000_000


class Load:
    """Runs from its creation until `stop`. The longest pause is kept over all its answers."""

    def __init__(self, workspace: Workspace, name: str, endpoint: Endpoint, vhost: str, options: dict):
        argv = [program("fault-load"), "--host", endpoint.host, "--port", endpoint.port, "--vhost", vhost,
                "--name", name]
        for option, value in options.items():
            argv += [f"--{option}", value]
        log = workspace.path / "logs" / f"load-{name}.log"
        self._mark = log.stat().st_size if log.exists() else 0
        self.process: Process = workspace.start(f"load-{name}", argv, talks=True)
        self.pause_ms = 0

    def _ask(self, command: str, timeout: float) -> Account:
        child = self.process.child
        try:
            child.stdin.write(command.encode() + b"\n")
            child.stdin.flush()
        except BrokenPipeError:
            pass  # its end is told below
        if not select.select([child.stdout], [], [], timeout)[0]:
            raise ProcessFailed(f"{self.process.name} did not answer \"{command}\" within {timeout:.0f} s")
        line = child.stdout.readline()
        if not line:
            raise ProcessFailed(f"{self.process.name} ended with {child.wait()}")
        account = Account(**json.loads(line))
        self.pause_ms = max(self.pause_ms, account.pause_ms)
        return account

    def stat(self, since_ms: int = 0) -> Account:
        return self._ask(f"stat {since_ms}", 20)

    def stop(self, timeout: float) -> Account:
        """Ends it in order; the final account."""
        account = self._ask("stop", timeout)
        code = self.process.wait()
        if code != 0:
            raise ProcessFailed(f"{self.process.name} ended with {code}")
        return account

    def complaints(self) -> list[str]:
        """What its threads said when they were disconnected."""
        return self.process.since(self._mark).splitlines()
