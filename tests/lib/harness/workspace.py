# SPDX-License-Identifier: Apache-2.0
"""A temporary folder and the processes that run in it; both go away together."""
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Optional, Sequence

from .process import Process

LOG_TAIL_LINES = 60
MEMORY = "/dev/shm"  # like /run, where sockets belong: making one there costs little
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def end_on_signals() -> None:
    """Turns SIGTERM and SIGHUP into SystemExit, so that `with` and `finally` blocks are run."""
    def leave(number, _frame):
        raise SystemExit(128 + number)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)


def wait_until(condition: Callable[[], object], timeout: float = 30, what="", step: float = 0.05):
    """Calls condition until it is true and returns its value; AssertionError after the timeout.
    `what` is a text that says what was expected, or a function that gives it."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what() if callable(what) else what or condition}")
        time.sleep(step)


class Workspace:
    """Owns a temporary folder, another one in memory for sockets, and every process started in it.

    Leaving it (`with`) kills what still runs, newest first, then removes the folder, whatever the
    reason for leaving. AMQPVSOCK_KEEP=1 keeps the folder and says where it is.
    """

    def __init__(self, prefix: str = "amqp-vsock-"):
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        self.run = Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if os.access(MEMORY, os.W_OK) else self.path))
        self.processes: list[Process] = []

    def __enter__(self) -> "Workspace":
        return self

    def __exit__(self, *_exc) -> None:
        self.close()

    def close(self) -> None:
        for process in reversed(self.processes):
            process.kill()
        shutil.rmtree(self.run, ignore_errors=True)
        if os.environ.get("AMQPVSOCK_KEEP"):
            print(f"kept: {self.path}", file=sys.stderr)
        else:
            self._remove_folder()

    def _remove_folder(self) -> None:
        """What a killed process had begun to write may still appear for a moment."""
        deadline = time.monotonic() + 5
        while self.path.exists() and time.monotonic() < deadline:
            shutil.rmtree(self.path, ignore_errors=True)
            time.sleep(0 if not self.path.exists() else 0.05)

    def start(self, name: str, argv: Sequence, env: Optional[dict] = None, limits: Sequence[str] = (),
              talks: bool = False) -> Process:
        """Starts a process with a log of its own, `logs/NAME.log`; a restart appends to it."""
        logs = self.path / "logs"
        logs.mkdir(exist_ok=True)
        variables = {**(env or os.environ), **self._sanitizer_options(name)}
        process = Process(name, argv, logs / f"{name}.log", variables, limits, talks)
        self.processes.append(process)
        return process

    def show_logs(self, out=sys.stderr) -> None:
        """Prints the end of every log: what one wants to see when a test failed."""
        for log in sorted(log for log in self.path.glob("logs/*.log") if log.stat().st_size):
            lines = COLOUR.sub("", log.read_text(errors="replace")).splitlines()
            print(f"--- {log.name}: last {min(len(lines), LOG_TAIL_LINES)} of {len(lines)} lines", file=out)
            for line in lines[-LOG_TAIL_LINES:]:
                print("    " + line, file=out)

    # --- sanitizers

    def _sanitizer_options(self, name: str) -> dict:
        """Reports go to files, so that they are found whatever becomes of a log. The quarantine is
        kept small: it would otherwise hide how much memory a daemon really holds."""
        reports = self.path / "sanitizer"
        reports.mkdir(exist_ok=True)
        common = f"log_path={reports / name}:exitcode=99"
        return {
            "ASAN_OPTIONS": f"{common}:quarantine_size_mb=1:detect_leaks=1",
            "UBSAN_OPTIONS": f"{common}:print_stacktrace=1",
            "TSAN_OPTIONS": f"{common}",
        }

    def sanitizer_reports(self) -> str:
        """All that sanitizers have reported so far; empty when all is well."""
        return "\n".join(f"--- {report.name}\n{report.read_text(errors='replace')}"
                         for report in sorted(self.path.glob("sanitizer/*")))
